"""Means over seeds with their confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gsnr_sweep.analysis.axes import SEEDS
from gsnr_sweep.analysis.standard_errors import half_width

if TYPE_CHECKING:
    from pandas import DataFrame, Series

INTERVAL = "95 % interval over the seeds"


@dataclass(frozen=True)
class SeedMean:
    """The mean of a statistic over seeds, with Student's 95 % interval.

    Attributes:
        seeds: How many it is the mean of.
        mean: NaN of none.
        low: Lower end of the interval; −∞ of fewer than two seeds.
        high: Upper end; ∞ of fewer than two.
    """

    seeds: int = 0
    mean: float = math.nan
    low: float = -math.inf
    high: float = math.inf

    @property
    def is_above(self) -> bool:
        """Whether the interval is above 0."""
        return self.low > 0

    @property
    def is_below(self) -> bool:
        """Whether the interval is below 0."""
        return self.high < 0

    def __str__(self) -> str:
        """Write the mean with its sign, and the interval if there is one."""
        return self.written("+.3g")

    def written(self, how: str) -> str:
        """Write the mean, and the interval if there is one, by a format such as ``.1%``."""
        if not self.seeds:
            return "no value"
        interval = f" [{self.low:{how}}, {self.high:{how}}]" if math.isfinite(self.low) else ""
        return f"{self.mean:{how}}{interval}"


def seed_mean(values: Series[Any]) -> SeedMean:
    """Return the mean of the finite values, one a seed, and its interval."""
    finite = values.to_numpy(dtype=float)
    finite = finite[np.isfinite(finite)]
    if not len(finite):
        return SeedMean()
    mean = float(finite.mean())
    if len(finite) < 2:
        return SeedMean(1, mean)
    error = float(finite.std(ddof=1)) / math.sqrt(len(finite))
    half = float(half_width(error, len(finite) - 1))
    return SeedMean(len(finite), mean, mean - half, mean + half)


def each_seed(frame: DataFrame, of: Callable[[DataFrame], float]) -> Series[Any]:
    """Return a statistic of the rows of each seed, a value a seed, those without one left out.

    Args:
        frame: One row a run and epoch.
        of: From the rows of a seed to the statistic; NaN where they do not have it.
    """
    from pandas import Series

    columns = [name for name in SEEDS if name in frame]
    if not columns:
        return Series([of(frame)], dtype=float).dropna()
    values: Series[Any] = frame.groupby(columns, dropna=False).apply(of).astype(float)
    finite: Series[Any] = values[np.isfinite(values)]
    return finite
