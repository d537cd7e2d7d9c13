"""Adding up the seconds that training and measuring take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class Stopwatch:
    """Adds up the seconds spent training and measuring."""

    def __init__(self, seconds: float = 0.0) -> None:
        """Start at what was spent before."""
        self.seconds = seconds

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the time spent inside."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - start

    def timed(self, values: Iterator[T]) -> Iterator[T]:
        """Pass values on, counting the time that it takes to make them."""
        while True:
            with self.running():
                value = next(values, None)
            if value is None:
                return
            yield value
