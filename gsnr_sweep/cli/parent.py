"""A process that is to end with the one that started it."""

from __future__ import annotations

import contextlib
import ctypes
import os

_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG


def end_with_parent(parent: int, signal: int) -> None:
    """Be sent a signal when the parent process is gone, where the system offers that (Linux).

    Args:
        parent: Its number; where it is gone already, this process leaves at once.
        signal: What to be sent.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal)
    if os.getppid() != parent:
        os._exit(1)
