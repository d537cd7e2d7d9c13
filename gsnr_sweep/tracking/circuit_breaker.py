"""Whether the tracking store answers, as far as this process knows."""

from __future__ import annotations

import time
from dataclasses import dataclass

SECONDS_OF_REST = 60.0


@dataclass
class CircuitBreaker:
    """Remembers that the store failed, so that not every run waits for it again.

    Attributes:
        problem: What was wrong the last time, empty if nothing was.
        since: When, on the monotonic clock.
    """

    problem: str = ""
    since: float = 0.0

    @property
    def lasts(self) -> bool:
        """Whether the store failed so lately that asking again is not worth the wait."""
        return bool(self.problem) and time.monotonic() - self.since < SECONDS_OF_REST

    def begin(self, problem: str) -> None:
        """Note that the store failed just now."""
        self.problem, self.since = problem, time.monotonic()

    def end(self) -> None:
        """Note that the store answered."""
        self.problem = ""
