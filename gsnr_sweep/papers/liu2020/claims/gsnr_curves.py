"""Claims about the GSNR over training: Fig. 5a and b."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gsnr_sweep.analysis.claim import Claim
from gsnr_sweep.analysis.curves import (
    RISE,
    is_course,
    last,
    late,
    mean_curve,
    read_by_seed,
    too_short,
)
from gsnr_sweep.analysis.rule import Condition, judge
from gsnr_sweep.analysis.seed_means import INTERVAL, each_seed

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from gsnr_sweep.analysis.analysis import Analysis

CLEAR_RISE = 2.0
"""Factor by which the GSNR rises that the rule should find."""
LOW, REPORTED = 0.5, 0.25
"""GSNR with random labels over that with real ones: low below it, and what should be found."""
FITTED, WELL_FITTED = 0.1, 0.01
"""Last training loss over the first: about zero below the one; the other should be found."""


def gsnr_curve_claims(analysis: Analysis) -> list[Claim]:
    """Judge what 3.1 says, for each model."""
    claims: list[Claim] = []
    for model, own in analysis.frame.groupby("model", sort=False):
        real, random = own[own["p_random"] == 0], own[own["p_random"] == 1]
        if not real.empty:
            claims += [rises(real, str(model)), stays_high(real, str(model))]
        if not real.empty and not random.empty:
            claims += [stays_low(own, str(model)), told_apart(own, str(model))]
    return claims


def rises(real: DataFrame, model: str) -> Claim:
    """Holds if the mean GSNR reaches more than 1.25 times its start."""
    text, source = f"{model}: with real labels the GSNR rises early in training.", "3.1, Fig. 5"
    curve = mean_curve(real, "gsnr_mean")
    if not is_course(curve):
        return too_short(text, source, "gsnr_mean")
    highest = read_by_seed(real, "gsnr_mean", max, relative=True)
    factor = Condition(highest, RISE, CLEAR_RISE)
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


def stays_high(real: DataFrame, model: str) -> Claim:
    """Holds if the mean GSNR of the last quarter of the training is above its start."""
    text = f"{model}: with real labels the GSNR stays high until the end of training."
    curve = mean_curve(real, "gsnr_mean")
    if not is_course(curve):
        return too_short(text, "3.1, Fig. 5", "gsnr_mean")
    levels = read_by_seed(real, "gsnr_mean", lambda c: late(c).mean(), relative=True)
    factor = Condition(levels, 1.0, CLEAR_RISE)
    return judge(
        text,
        "3.1, Fig. 5",
        [factor],
        f"mean GSNR {curve.iloc[0]:.4f} at epoch {curve.index[0]}, {late(curve).mean():.4f} in the "
        f"last quarter; the latter over the former {factor.mean.written('.2f')}. Rule: {INTERVAL} "
        "above 1.",
        runs=real["run_id"].nunique(),
    )


def told_apart(own: DataFrame, model: str) -> Claim:
    """Holds if both training losses end below a tenth of their start and the GSNRs differ.

    GSNRs differ if with random labels the mean over the measured epochs, above the floor 1/n, is
    below that with real ones. Cannot be told where labels are not fitted yet.
    """
    text = (
        f"{model}: the training loss goes to zero with real and with random labels, while the GSNR "
        "tells them apart."
    )
    kinds = (own[own["p_random"] == p] for p in (0, 1))
    left = (read_by_seed(rows, "train_loss", last, relative=True) for rows in kinds)
    losses = [Condition(values, FITTED, WELL_FITTED) for values in left]
    ratio = Condition(each_seed(own, _ratio), 1.0, REPORTED)
    conditions = [*losses, ratio]
    if not all(condition.mean.seeds for condition in conditions):
        return too_short(text, "3.1, Fig. 5", "train_loss or gsnr_mean")
    real, random = (condition.mean.written(".3g") for condition in losses)
    return judge(
        text,
        "3.1, Fig. 5",
        conditions if all(loss.is_met for loss in losses) else [],
        f"last over first training loss {real} with real and {random} with random labels; GSNR "
        f"above the floor with random over that with real labels {ratio.mean.written('.2f')}. "
        f"Rule: {INTERVAL} of the first two below {FITTED}, of the last below 1.",
        runs=own["run_id"].nunique(),
    )


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
