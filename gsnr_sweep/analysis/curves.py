"""Curves of a sweep's runs, as claims read them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gsnr_sweep.analysis.claim import UNCLEAR, Claim
from gsnr_sweep.analysis.seed_means import each_seed

if TYPE_CHECKING:
    from pandas import DataFrame, Series

RISE = 1.25
"""Factor from which a GSNR is said to have risen above its start."""
FEWEST_EPOCHS = 2


def mean_curve(frame: DataFrame, name: str) -> Series[float]:
    """Return the mean over runs of a metric by epoch, in the order of the epochs.

    Only epochs count at which every run has a finite value, lest the mean changes because its runs
    do; runs without any do not count. Empty if the metric was not measured.
    """
    from pandas import Series

    if name not in frame or frame.empty:
        return Series(dtype=float)
    wide = frame.pivot_table(index="run_id", columns="epoch", values=name, dropna=False)
    wide = wide.replace([math.inf, -math.inf], math.nan).dropna(axis="index", how="all")
    if wide.empty:
        return Series(dtype=float)
    wide = wide.dropna(axis="columns")
    curve: Series[float] = wide.mean().sort_index()
    return curve


def read_by_seed(
    frame: DataFrame,
    name: str,
    of: Callable[[Series[float]], float],
    *,
    relative: bool = False,
    fewest: int = FEWEST_EPOCHS,
) -> Series[Any]:
    """Return what is read from each seed's mean curve of a metric, a value a seed.

    Seeds whose curve has too few epochs are left out.

    Args:
        frame: One row a run and epoch.
        name: The metric.
        of: From a curve to a number.
        relative: Whether curves are taken over their first value; those where it is not positive
            are left out.
        fewest: Epochs that a curve needs.
    """

    def read(own: DataFrame) -> float:
        curve = mean_curve(own, name)
        if len(curve) < fewest or (relative and curve.iloc[0] <= 0):
            return math.nan
        return float(of(curve / curve.iloc[0] if relative else curve))

    return each_seed(frame, read)


def first(curve: Series[float]) -> float:
    """Return the first value."""
    return float(curve.iloc[0])


def last(curve: Series[float]) -> float:
    """Return the last value."""
    return float(curve.iloc[-1])


def is_course(*curves: Series[float]) -> bool:
    """Tell whether curves have enough epochs to speak of a course of training."""
    return all(len(curve) >= FEWEST_EPOCHS for curve in curves)


def too_short(text: str, source: str, name: str) -> Claim:
    """Return the claim that cannot be judged because a metric has no course over epochs."""
    return Claim(text, source, UNCLEAR, f"{name} was not measured at two epochs or more.")


def early(curve: Series[float]) -> Series[float]:
    """Return the first quarter of the training, at least the first epoch."""
    return curve.loc[curve.index[0] : max(curve.index[-1] / 4, curve.index[0])]


def late(curve: Series[float]) -> Series[float]:
    """Return the last quarter of the training."""
    return curve.loc[0.75 * curve.index[-1] :]


def trained(frame: DataFrame) -> DataFrame:
    """Return the rows of runs without frozen layers."""
    return frame[~is_frozen(frame)]


def is_frozen(frame: DataFrame) -> Series[bool]:
    """Tell of each row whether a layer of its run is frozen."""
    if "model.frozen" not in frame:
        return frame["run_id"].isna()
    return ~frame["model.frozen"].isin(["[]"]) & frame["model.frozen"].notna()
