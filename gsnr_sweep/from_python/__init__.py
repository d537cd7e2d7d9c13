"""What the command line does, from a script or a notebook: `run`, `sweep` and `load`.

Importing it loads nothing heavy; a launch works in a process of its own.
"""
