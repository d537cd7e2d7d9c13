"""Where samples are drawn from: streams of random numbers, and fixed pools such as MNIST's.

Of a pool, a training set is n different samples drawn at random from the training pool; the M sets
are drawn independently of each other, so two sets share about n²/N of N samples. The test set is
drawn from the test pool.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from typing_extensions import override

from gsnr_sweep.data.base import DataSpec
from gsnr_sweep.data.samples import Samples
from gsnr_sweep.data.seeding import Stream, generators


class DrawnDistribution(ABC):
    """Draws every set from a stream of its own; training and test sets differ by it alone."""

    spec: DataSpec

    def prepare(self) -> None:  # noqa: B027 - complete: there is nothing to do
        """Nothing to fetch."""

    def train_set(self, n: int, m: int, seed: int) -> Samples:
        """Draw training set number `m`."""
        return self.draw(n, seed, Stream.TRAIN_SAMPLES, m)

    def test_set(self, n: int, seed: int) -> Samples:
        """Draw the test set."""
        return self.draw(n, seed, Stream.TEST_SAMPLES, 0)

    @abstractmethod
    def draw(self, n: int, seed: int, stream: Stream, index: int) -> Samples:
        """Draw `n` samples.

        Args:
            n: Size of the set.
            seed: Of the run.
            stream: Training or test samples.
            index: Number m of the training set; 0 for the test set. With `seed` and `stream` it
                decides every draw; `gsnr_sweep.data.seeding.generators` takes them.
        """


@dataclass(frozen=True)
class PoolDistribution(DrawnDistribution):
    """A distribution known by a pool of training samples and a pool of test samples.

    Attributes:
        spec: Shapes and sizes.
        load_train: Reads the training pool.
        load_test: Reads the test pool.
        fetch: Makes sure that the files are there.
    """

    spec: DataSpec
    load_train: Callable[[], Samples]
    load_test: Callable[[], Samples]
    fetch: Callable[[], None]

    @override
    def prepare(self) -> None:
        self.fetch()

    @override
    def draw(self, n: int, seed: int, stream: Stream, index: int) -> Samples:
        pool = self.load_train() if stream is Stream.TRAIN_SAMPLES else self.load_test()
        (rng,) = generators(seed, stream, index, 1)
        chosen = torch.from_numpy(rng.permutation(len(pool))[:n].astype(np.int64))
        return Samples(pool.x[chosen], pool.y[chosen], pool.standardization)
