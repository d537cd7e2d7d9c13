"""The Python API of launches: what the command line does, from a script or a notebook.

Importing it loads nothing heavy: `gsnr_sweep.run`, `sweep` and `load` are looked up here.
"""
