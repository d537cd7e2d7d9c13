"""Doing something every few seconds, from a thread, beside other work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gsnr_sweep.errors import GsnrError


@contextmanager
def every(seconds: float, act: Callable[[], bool], name: str) -> Iterator[None]:
    """Call `act` every so many seconds until it returns False or the block ends.

    What cannot be written by it (a full disk) is left to the work itself to meet.

    Args:
        seconds: Time between two calls; the first comes after it.
        act: Returns whether to go on.
        name: Of the thread.
    """
    over = threading.Event()

    def repeat() -> None:
        while not over.wait(seconds):
            try:
                if not act():
                    return
            except GsnrError:
                continue

    thread = threading.Thread(target=repeat, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
