"""Intervals over seeds: how far a statistic of a sweep would move with other seeds.

The settings of a sweep are chosen, its seeds (initial weights, data, labels) are draws. So the
seeds are what is resampled: S seeds are drawn S times with replacement, each with all its networks
(a cluster bootstrap). With few seeds the spread of the resamples is too small by √((S−1)/S), which
is put right, and a normal quantile would be too small, so Student's t with S − 1 degrees of freedom
is taken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import stats

CONFIDENCE = 0.95
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Statistic:
    """A value with its 95 % interval over seeds; NaN where undefined."""

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Resamples:
    """How often each seed is in the sample, in the sweep itself and in its bootstrap resamples.

    Attributes:
        n_seeds: Number S of seeds.
        draws: Number of resamples.
    """

    n_seeds: int
    draws: int = 400

    @cached_property
    def counts(self) -> Matrix:
        """Counts of the seeds, shape (1 + draws, S); the first row is the sweep itself."""
        own = np.ones((1, self.n_seeds))
        if self.n_seeds < 2:
            return own
        drawn = np.random.default_rng(0).multinomial(
            self.n_seeds, np.full(self.n_seeds, 1 / self.n_seeds), size=self.draws
        )
        return np.concatenate([own, drawn.astype(float)])

    def statistic(self, values: Matrix, lowest: float = -1.0, highest: float = 1.0) -> Statistic:
        """Return the sweep's own value with its interval.

        Args:
            values: The statistic for each row of `counts`; NaN where a resample does not have it.
            lowest: Least value that it can have.
            highest: Greatest.
        """
        value, spread = float(values[0]), values[1:][np.isfinite(values[1:])]
        if self.n_seeds < 2 or len(spread) < 2 or math.isnan(value):
            return Statistic(value)
        se = float(spread.std(ddof=1)) * math.sqrt(self.n_seeds / (self.n_seeds - 1))
        half = float(stats.t.ppf((1 + CONFIDENCE) / 2, self.n_seeds - 1)) * se
        return Statistic(value, max(value - half, lowest), min(value + half, highest))


def ratio(above: Matrix, below: Matrix) -> Matrix:
    """Return above / below, NaN where that is 0 / 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below != 0, above / below, math.nan)
