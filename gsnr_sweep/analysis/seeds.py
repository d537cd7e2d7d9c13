"""Intervals over seeds: how far a statistic of a sweep would move with other seeds.

The settings of a sweep are chosen, its seeds (initial weights, data, labels) are draws. So the
seeds are what is resampled: S seeds are drawn S times with replacement, each with all its points
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

from gsnr_sweep.analysis.standard_errors import half_width

Matrix = NDArray[np.float64]
Codes = NDArray[np.intp]


@dataclass(frozen=True)
class Statistic:
    """A value with its 95 % interval over seeds; NaN where undefined."""

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    se: float = math.nan


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

    def weights(self, seeds: Codes) -> Matrix:
        """Return how often each point is in each sample, shape (1 + draws, points).

        Args:
            seeds: Number of each point's seed, from 0 on, shape (points,).
        """
        return self.counts[:, seeds]

    def statistic(
        self, values: Matrix, lowest: float = -math.inf, highest: float = math.inf
    ) -> Statistic:
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
        half = float(half_width(se, self.n_seeds - 1))
        return Statistic(value, max(value - half, lowest), min(value + half, highest), se)

    def correlation(self, values: Matrix) -> Statistic:
        """Return a correlation coefficient with the interval of its Fisher's z.

        Near ±1 the coefficient's own spread is too narrow. Of rank statistics that often are ±1
        take `statistic`.

        Args:
            values: The coefficient for each row of `counts`.
        """
        with np.errstate(divide="ignore"):
            z = self.statistic(np.arctanh(np.clip(values, -1.0, 1.0)))
        return Statistic(float(values[0]), math.tanh(z.low), math.tanh(z.high))


def ratio(above: Matrix, below: Matrix) -> Matrix:
    """Return above / below, NaN where that is 0 / 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below != 0, above / below, math.nan)
