"""Loading modules without delay."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_OBJECTS = 50_000  # new ones until the youngest are searched


@contextmanager
def loading_quickly() -> Iterator[None]:
    """Let the search for garbage wait longer while modules are loaded, whose objects all stay.

    Python searches after every 700 new objects. PyTorch and MLflow make a million of them: without
    this, a quarter of the time that importing both takes goes into looking through them in vain.
    """
    before = gc.get_threshold()
    gc.set_threshold(_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
