"""Claims about the GSNR over training: Fig. 5a and b."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gsnr_sweep.analysis.claim import Claim
from gsnr_sweep.analysis.curves import RISE, is_course, mean_curve, too_short
from gsnr_sweep.analysis.rule import Condition, judge
from gsnr_sweep.analysis.seed_means import INTERVAL, each_seed

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from gsnr_sweep.analysis.analysis import Analysis

CLEAR_RISE = 2.0
"""Factor by which the GSNR rises that the rule should find."""
LOW, REPORTED = 0.5, 0.25
"""GSNR with random labels over that with real ones: low below it, and what should be found."""


def gsnr_curve_claims(analysis: Analysis) -> list[Claim]:
    """Judge what 3.1 says, for each model."""
    claims: list[Claim] = []
    for model, own in analysis.frame.groupby("model", sort=False):
        real, random = own[own["p_random"] == 0], own[own["p_random"] == 1]
        if not real.empty:
            claims.append(rises(real, str(model)))
        if not real.empty and not random.empty:
            claims.append(stays_low(own, str(model)))
    return claims


def rises(real: DataFrame, model: str) -> Claim:
    """Holds if the mean GSNR reaches more than 1.25 times its start."""
    text, source = f"{model}: with real labels the GSNR rises early in training.", "3.1, Fig. 5"
    curve = mean_curve(real, "gsnr_mean")
    if not is_course(curve):
        return too_short(text, source, "gsnr_mean")
    factor = Condition(each_seed(real, rise), RISE, CLEAR_RISE)
    floor = (1 / real["n"]).mean()
    return judge(
        text,
        source,
        [factor],
        f"mean GSNR {curve.iloc[0]:.4f} at epoch {curve.index[0]}, lowest {curve.min():.4f} at "
        f"epoch {curve.idxmin()}, highest {curve.max():.4f} at epoch {curve.idxmax()}, "
        f"{curve.iloc[-1]:.4f} at the end (floor 1/n: {floor:.4f}); highest over first "
        f"{factor.mean.written('.2f')}. Rule: {INTERVAL} of it above {RISE}.",
        runs=real["run_id"].nunique(),
    )


def rise(own: DataFrame) -> float:
    """Return the highest mean GSNR over the first."""
    curve = mean_curve(own, "gsnr_mean")
    if not is_course(curve) or curve.iloc[0] <= 0:
        return math.nan
    return float(curve.max() / curve.iloc[0])


def stays_low(own: DataFrame, model: str) -> Claim:
    """Holds if the mean over the measured epochs is below half of that with real labels.

    The floor 1/n is taken off both. Cannot be told where real labels themselves do not rise above
    the floor.
    """
    text = f"{model}: with random labels the GSNR stays low throughout training."
    real, random = _above_floor(own, 0), _above_floor(own, 1)
    if not is_course(real, random):
        return too_short(text, "3.1, Fig. 5", "gsnr_mean")
    signal = Condition(each_seed(own, lambda rows: _level(rows, 0)), 0.0, float(real.mean()))
    ratio = Condition(each_seed(own, _ratio), LOW, REPORTED)
    return judge(
        text,
        "3.1, Fig. 5",
        [signal, ratio] if signal.is_met else [],
        f"mean over the measured epochs, above the floor 1/n: {random.mean():.4f} with random, "
        f"{real.mean():.4f} with real labels; ratio {ratio.mean.written('.2f')}; highest "
        f"{random.max():.4f} at epoch {random.idxmax()} and {real.max():.4f} at epoch "
        f"{real.idxmax()}. Rule: {INTERVAL} of the ratio below {LOW}, if with real labels it is "
        "above 0.",
        runs=own["run_id"].nunique(),
    )


def _above_floor(own: DataFrame, p_random: int) -> Series[float]:
    rows = own[own["p_random"] == p_random]
    return mean_curve(rows, "gsnr_mean") - (1 / rows["n"]).mean()


def _level(own: DataFrame, p_random: int) -> float:
    return float(_above_floor(own, p_random).mean())


def _ratio(own: DataFrame) -> float:
    real = _level(own, 0)
    return _level(own, 1) / real if real > 0 else math.nan
