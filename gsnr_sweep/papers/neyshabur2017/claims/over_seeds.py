"""Means over seeds with their confidence intervals, and what claims read from them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from gsnr_sweep.analysis.axes import REPEATS, open_axes
from gsnr_sweep.analysis.statistics import CONFIDENCE

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from gsnr_sweep.analysis.analysis import Analysis
    from gsnr_sweep.analysis.claim import Claim

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
        if not self.seeds:
            return "no value"
        interval = f" [{self.low:+.3g}, {self.high:+.3g}]" if math.isfinite(self.low) else ""
        return f"{self.mean:+.3g}{interval}"


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
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(finite) - 1)) * error
    return SeedMean(len(finite), mean, mean - half, mean + half)


def by_seed(networks: DataFrame, column: str, setting: str) -> DataFrame:
    """Return a column with a row a seed and a column a value of a setting.

    Only finite values count; empty if the column or the setting is not there.
    """
    from pandas import DataFrame

    if not {column, REPEATS, setting} <= set(networks.columns):
        return DataFrame()
    finite = networks[np.isfinite(networks[column].to_numpy(dtype=float))]
    table: DataFrame = finite.pivot_table(index=REPEATS, columns=setting, values=column)
    return table


def complete(table: DataFrame) -> DataFrame:
    """Return the columns in which every seed of a table has a value."""
    return table.dropna(axis="columns")


def sentence(about: str, text: str) -> str:
    """Return a claim's text, begun with what it is about, or else with a capital letter."""
    return f"{about}{text}" if about else text[0].upper() + text[1:]


def judge_groups(
    analysis: Analysis,
    networks: DataFrame,
    varied: Sequence[str],
    judge: Callable[[DataFrame, str], list[Claim]],
) -> list[Claim]:
    """Judge claims for each setting of what else was swept than a figure's own axes.

    Args:
        analysis: The sweep's runs.
        networks: Those to judge by.
        varied: The figure's own axes.
        judge: From networks, and the words that say which they are, to claims.
    """
    others = [name for name in analysis.axes if name not in (*varied, REPEATS)]
    axes = open_axes(networks, others, [])
    if not axes:
        return judge(networks, "")
    claims = []
    for values, own in networks.groupby(axes, sort=False, dropna=False):
        named = (f"{axis} = {value}" for axis, value in zip(axes, values, strict=True))
        claims += judge(own, f"{', '.join(named)}: ")
    return claims
