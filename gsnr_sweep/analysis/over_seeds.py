"""Intervals of a sweep's statistics over its seeds, whose points depend on each other.

The points of one seed share initial weights, the test set and parts of the training sets; seeds
share nothing. So whole seeds are resampled, see `gsnr_sweep.analysis.seeds`, and a mean is
judged by its spread between seeds.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from pandas import Series

from gsnr_sweep.analysis.correlation import pearson, spearman
from gsnr_sweep.analysis.lines import Moments
from gsnr_sweep.analysis.seed_means import seed_mean
from gsnr_sweep.analysis.seeds import Codes, Resamples, Statistic

Vector = NDArray[np.float64]
DRAWS = 1000


class OverSeeds:
    """Statistics of the points of several seeds, with their intervals over seeds."""

    def __init__(self, seeds: Codes, x: Vector, y: Vector) -> None:
        """Draw the resamples.

        Args:
            seeds: Number of each point's seed, from 0 on, shape (points,).
            x: Finite, shape (points,).
            y: Finite, shape (points,).
        """
        self._x, self._y = x, y
        self._resamples = Resamples(int(seeds.max()) + 1, DRAWS)
        self._weights = self._resamples.weights(seeds)

    def pearson(self) -> Statistic:
        """Return Pearson's coefficient."""
        return self._resamples.correlation(pearson(self._x, self._y, self._weights))

    def spearman(self) -> Statistic:
        """Return Spearman's coefficient."""
        return self._resamples.correlation(spearman(self._x, self._y, self._weights))

    def slope(self) -> Statistic:
        """Return the slope of the least-squares line."""
        return self._resamples.statistic(self._moments().least_squares())

    def intercept(self) -> Statistic:
        """Return the intercept of that line."""
        moments = self._moments()
        return self._resamples.statistic(moments.y - moments.least_squares() * moments.x)

    def deming(self, xx: Vector, xy: Vector, yy: Vector) -> Statistic:
        """Return the slope of the line with errors in both coordinates, see `Moments.deming`.

        Args:
            xx: Each point's variance of the error of x, shape (points,).
            xy: Each point's covariance of the errors.
            yy: Each point's variance of the error of y.
        """
        weights = self._weights
        shares = weights / weights.sum(1, keepdims=True)
        return self._resamples.statistic(
            self._moments().deming(*(shares @ each for each in (xx, xy, yy)))
        )

    def _moments(self) -> Moments:
        return Moments.of(self._x, self._y, self._weights)


def mean_over_seeds(seeds: Codes, values: Vector) -> tuple[Statistic, float]:
    """Return the mean over seeds of their means, with its interval, and p of its being zero.

    Student's t of the seeds' means: whatever the points of a seed have in common is in it.

    Args:
        seeds: Number of each value's seed, shape (points,).
        values: Finite, shape (points,).

    Returns:
        NaN for interval and p with fewer than two seeds, or means that are all the same.
    """
    means = Series(values).groupby(np.asarray(seeds)).mean()
    mean = seed_mean(means)
    if mean.seeds < 2 or np.ptp(means) <= 1e-13 * np.abs(means).max():
        return Statistic(mean.mean), math.nan
    from scipy import stats  # takes half a second

    p = float(stats.ttest_1samp(means, 0.0).pvalue)
    return Statistic(mean.mean, mean.low, mean.high), p
