"""Ending a process without delay."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def leaving_quickly() -> Iterator[None]:
    """Spare the interpreter its last search for garbage, which goes through all modules loaded.

    With PyTorch, MLflow and pandas in a process that took 2 s of every launch, and takes 0.2 s so.
    """
    try:
        yield
    finally:
        gc.freeze()
