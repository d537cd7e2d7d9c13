"""Ending a process without delay."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib.util
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def leaving_quickly() -> Iterator[None]:
    """Spare the interpreter its last search for garbage, which goes through all modules loaded.

    With PyTorch, MLflow and pandas in a process that took 2 s of every launch, and takes 0.2 s so.
    """
    try:
        yield
    finally:
        gc.freeze()


def search_launch_folder_last() -> None:
    """Find modules of the working folder after all others.

    A user's own models and measures lie there, but no file of it (``random.py``) may stand in for a
    module that a library means.

    Raises:
        OSError: The folder is gone.
    """
    here = str(Path.cwd())
    sys.path[:] = [*(path for path in sys.path if path not in ("", here)), here]


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


def load_torch_library() -> threading.Thread:
    """Load PyTorch's largest library in another thread, for an import that comes soon.

    It takes 0.2 s that Python's lock is not needed for; importing PyTorch takes as much less.
    Anything that goes wrong is left to the import.

    Returns:
        The thread, started.
    """
    thread = threading.Thread(target=_load_torch_library, name="torch library", daemon=True)
    thread.start()
    return thread


def _load_torch_library() -> None:
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return
    with contextlib.suppress(OSError):
        ctypes.CDLL(str(Path(spec.origin).parent / "lib" / "libtorch_cpu.so"))
