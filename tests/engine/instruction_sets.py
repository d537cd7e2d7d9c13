"""Instruction sets that the compiled kernels can be tested on here."""

import pytest

from gsnr_sweep.engine.cpu.kernels import available

EACH = [
    name if name == available()[0] else pytest.param(name, marks=pytest.mark.slow)
    for name in available()
]
"""Those of this machine. Runs use the first one; the others are among the slow tests."""
