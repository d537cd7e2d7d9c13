"""Compiled inner loops: convolutions and what stands between them, 16 samples side by side.

The C sources lie beside this file; `compiled` calls them. They were compiled
when the package was installed, if there was a compiler.
"""

from gsnr_sweep.engine.cpu.kernels.compiled import Kernels, View, available, load_kernels

__all__ = ["Kernels", "View", "available", "load_kernels"]
