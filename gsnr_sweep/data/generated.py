"""What distributions that are generated, and so never run out, have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod

from gsnr_sweep.data.registry import DataSpec
from gsnr_sweep.data.samples import Samples
from gsnr_sweep.data.seeding import Stream


class GeneratedDistribution(ABC):
    """Draws every set afresh; training sets and the test set differ by their streams alone."""

    spec: DataSpec

    def prepare(self) -> None:  # noqa: B027 - complete: there is nothing to do
        """Nothing to fetch."""

    def train_set(self, n: int, m: int, seed: int) -> Samples:
        """Draw training set number `m`."""
        return self._draw(n, seed, Stream.TRAIN_SAMPLES, m)

    def test_set(self, n: int, seed: int) -> Samples:
        """Draw the test set."""
        return self._draw(n, seed, Stream.TEST_SAMPLES, 0)

    @abstractmethod
    def _draw(self, n: int, seed: int, stream: Stream, index: int) -> Samples:
        """Draw `n` samples from one stream."""
