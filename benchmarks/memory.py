"""The largest memory of this process, and what a piece of work adds to it (Linux only)."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Callable
from pathlib import Path

NOT_HERE = "peak memory is read from /proc, which only Linux has"
_STATUS = Path("/proc/self/status")


def added_by(work: Callable[[], object]) -> float | None:
    """Return the bytes by which the process grew at most while it did `work`.

    Meaningful once in a process: memory that earlier work left behind would be used again unseen.
    """
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    before = resident()
    reset_peak()
    work()
    peak = peak_memory()
    return None if before is None or peak is None else float(max(0, peak - before))


def reset_peak() -> None:
    """Start to count the largest memory anew."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> int | None:
    """Return the largest memory since the last reset, bytes; None where it cannot be read."""
    return _read("VmHWM")


def resident() -> int | None:
    """Return the memory in use, bytes; None where it cannot be read."""
    return _read("VmRSS")


def _read(field: str) -> int | None:
    with contextlib.suppress(OSError):
        for line in _STATUS.read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
    return None
