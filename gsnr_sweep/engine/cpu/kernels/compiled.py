"""Calling the compiled kernels. A call lets go of Python's lock: threads run side by side."""

from __future__ import annotations

import ctypes
import hashlib
import importlib.machinery
import logging
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor

from gsnr_sweep.errors import GsnrError

log = logging.getLogger(__name__)

INSTRUCTION_SETS = ("avx512", "avx2", "baseline")
"""Best first."""

_LANES = {"avx512": 16, "avx2": 8, "baseline": 4}
_POINTER, _INT, _LONG = ctypes.c_void_p, ctypes.c_int, ctypes.c_long

# Arguments of each kernel: v a view of a tensor in lanes, p a pointer, i an int, l a long.
_SIGNATURES = {
    "into_lanes_bytes": "pliiippv",
    "into_lanes_floats": "pliiippv",
    "standardize_bytes": "pliippp",
    "conv_forward": "vppvpiiiiiii",
    "conv_pool_relu": "vppvppiiiiii",
    "conv_weights": "vvpppiiiiiiii",
    "conv_bias": "vppiiiii",
    "pooled_backward": "vpvpvpppiiiiiii",
    "pooled_scratch": "iiiiii",
    "outer_products": "ppppliii",
    "outer_scratch": "ii",
    "weights_scratch": "iiiii",
    "two_layers": "ppppppppllii",
    "channel_sums": "vppliii",
    "normalize": "vppvpiiiiii",
    "normalize_sums": "vppvppppiiiiiii",
    "normalize_backward": "vppvpppvliiiii",
}


class View(ctypes.Structure):
    """Where a tensor in lanes begins, and its strides in vectors (``view`` in lanes.h)."""

    _fields_ = (
        ("at", _POINTER),
        ("block", _LONG),
        ("channel", _LONG),
        ("row", _LONG),
        ("column", _LONG),
    )


_TYPES: dict[str, Any] = {"v": ctypes.POINTER(View), "p": _POINTER, "i": _INT, "l": _LONG}
Argument = Tensor | View | int | None


class Kernels:
    """The kernels of one instruction set.

    Attributes:
        instruction_set: Its name.
        lanes: Samples side by side in a vector.
    """

    def __init__(self, instruction_set: str) -> None:
        """Find the functions.

        Raises:
            GsnrError: Nothing was compiled, or this processor lacks the instruction set.
        """
        if instruction_set not in available():
            raise GsnrError(
                f"kernels={instruction_set}: these are not there or not for this processor. There "
                f"is: {', '.join(('auto', 'none', *available()))}."
            )
        self.instruction_set = instruction_set
        self.lanes = _LANES[instruction_set]
        library = ctypes.CDLL(str(_compiled()))
        self._functions = {}
        for name, letters in _SIGNATURES.items():
            function = library[f"{name}_{instruction_set}"]
            function.argtypes = [_TYPES[letter] for letter in letters]
            function.restype = _LONG if name.endswith("_scratch") else None
            self._functions[name] = function

    def call(self, name: str, *arguments: Argument) -> None:
        """Call a kernel; tensors are passed as pointers to their data, which must be contiguous."""
        self._functions[name](*[_passed(argument) for argument in arguments])

    def scratch(self, name: str, *sizes: int) -> int:
        """Return how much memory a kernel needs in passing, as lanes.h or its source counts it."""
        return int(self._functions[f"{name}_scratch"](*sizes))


def _passed(argument: Argument) -> object:
    if isinstance(argument, Tensor):
        assert argument.is_contiguous()
        return argument.data_ptr()
    return ctypes.byref(argument) if isinstance(argument, View) else argument


@cache
def available() -> Sequence[str]:
    """List the instruction sets that were compiled and that this processor has, best first."""
    path = _compiled()
    if path is None:
        return ()
    try:
        library = ctypes.CDLL(str(path))
        library.sources_digest.restype = ctypes.c_ulonglong
        digest, best = library.sources_digest(), library.best_instruction_set()
    except (OSError, AttributeError):
        digest, best = None, 0
    if digest != _sources_digest():
        log.warning("the compiled kernels are not of this version: install the package again")
        return ()
    return INSTRUCTION_SETS[2 - best :]


def _sources_digest() -> int:
    """Digest the C sources that lie here, as setup.py does for those that it compiles."""
    paths = sorted(Path(__file__).parent.glob("*.[ch]"))
    sources = b"".join(path.read_bytes() for path in paths)
    return int(hashlib.sha256(sources).hexdigest()[:16], 16)


def load_kernels(wanted: str = "auto") -> Kernels | None:
    """Load the compiled kernels.

    Args:
        wanted: An instruction set, ``auto`` for the best one, or ``none``.

    Returns:
        None if there are none and none are asked for by name, or none are wanted.

    Raises:
        GsnrError: Those that are asked for by name are not there.
    """
    there = available()
    if wanted == "none" or (wanted == "auto" and not there):
        return None
    return Kernels(there[0] if wanted == "auto" else wanted)


def _compiled() -> Path | None:
    here = Path(__file__).parent
    suffixes = importlib.machinery.EXTENSION_SUFFIXES
    return next((path for s in suffixes if (path := here / f"_lanes{s}").exists()), None)
