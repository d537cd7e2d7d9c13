"""Curves of a sweep's runs, as claims read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pandas import DataFrame, Series

RISE = 1.25
"""Factor from which a GSNR is said to have risen above its start."""


def mean_curve(frame: DataFrame, name: str) -> Series[float]:
    """Return the mean over runs of a metric by epoch, in the order of the epochs."""
    curve: Series[float] = frame.groupby("epoch")[name].mean().dropna().sort_index()
    return curve


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
        return frame["epoch"] < 0
    return ~frame["model.frozen"].isin(["[]"]) & frame["model.frozen"].notna()
