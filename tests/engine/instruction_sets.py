"""Instruction sets that the compiled kernels can be tested on here."""

import pytest

from gsnr_sweep.engine.cpu.kernels import available

needs_kernels = pytest.mark.skipif(
    not available(), reason="no compiled kernels: there was no C compiler at installation"
)

EACH = [
    name if name == available()[0] else pytest.param(name, marks=pytest.mark.slow)
    for name in available()
]
"""Those of this machine. Runs use the first one; the others are among the slow tests."""
