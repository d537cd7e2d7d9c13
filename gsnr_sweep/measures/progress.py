"""How far a long measure is."""

from __future__ import annotations

import logging
import time

from gsnr_sweep.wording import describe_duration

log = logging.getLogger(__name__)

EVERY_S = 30.0


class Progress:
    """Says in the run's log now and then how far a measure is, and how long it will take."""

    def __init__(self, what: str) -> None:
        """Start the clock.

        Args:
            what: Is measured.
        """
        self._what = what
        self._begun = self._told = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        """Note that `done` of `total` equal parts are done."""
        now = time.monotonic()
        if done >= total or now - self._told < EVERY_S:
            return
        self._told = now
        left = describe_duration((now - self._begun) / done * (total - done))
        log.info("%s: %d of %d, about %s to go", self._what, done, total, left)
