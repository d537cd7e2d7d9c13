"""Where a launch puts its results, told to whoever wants to know.

Between the one that starts a launch and the one that chooses its folder lies Hydra, which hands no
result back. The context variable holds for one launch, not for a process.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path

on_results: ContextVar[Callable[[Path], None]] = ContextVar("on_results")
"""Is called with the folder of a sweep as soon as it is made, of a single run when it is over."""


def tell_folder(folder: Path) -> None:
    """Tell where results lie, if anybody wants to know."""
    listener = on_results.get(None)
    if listener is not None:
        listener(folder)
