"""Claims about weights and their gradients: Fig. 7."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gsnr_sweep.analysis.claim import Claim
from gsnr_sweep.analysis.curves import early, is_course, late, mean_curve, read_by_seed, too_short
from gsnr_sweep.analysis.rule import Condition, judge
from gsnr_sweep.analysis.seed_means import INTERVAL

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from gsnr_sweep.analysis.analysis import Analysis

    Part = Callable[[Series[float]], Series[float]]

CLEAR = 0.01
"""Correlation, or share beyond one half, that counts as more than nothing."""
WORTH_FINDING = 0.05
NEARLY_80, REPORTED = 0.75, 0.79


def weight_gradient_claims(analysis: Analysis) -> list[Claim]:
    """Judge what 3.3 says, for each kind of initial weights.

    "Early" is the first quarter of the training, "late" the last one; means over the epochs.
    """
    claims: list[Claim] = []
    for init, own in analysis.frame.groupby("init", sort=False):
        start = f"Initial weights '{init}': "
        claims += [
            negative(own, start),
            more_negative(own, start),
            opposite(own, start),
            nearly_80(own, start),
        ]
    return claims


def negative(own: DataFrame, start: str) -> Claim:
    """Holds if the early mean correlation of Δg and W is below −0.01."""
    text, source = f"{start}early in training Δg is negatively correlated with W.", "3.3, Fig. 7a"
    curve = mean_curve(own, "corr_dg_w")
    if curve.empty:
        return too_short(text, source, "corr_dg_w")
    value = Condition(_over(own, "corr_dg_w", early), -CLEAR, -WORTH_FINDING)
    return judge(
        text,
        source,
        [value],
        f"all weights: {curve.iloc[0]:+.3f} at epoch {curve.index[0]}, early mean {value.mean}, "
        f"{curve.iloc[-1]:+.3f} at the end. Rule: {INTERVAL} of the early mean below −{CLEAR}.",
        runs=own["run_id"].nunique(),
    )


def more_negative(own: DataFrame, start: str) -> Claim:
    """Holds if the early mean for the 10 % largest weights is below that of all by 0.01."""
    text = f"{start}for the 10 % largest weights the correlation is even more negative."
    every, top = (_over(own, name, early) for name in ("corr_dg_w", "corr_dg_w_top10"))
    difference = Condition(top - every, -CLEAR, -WORTH_FINDING)
    if not difference.mean.seeds:
        return too_short(text, "3.3, Fig. 7a", "corr_dg_w_top10")
    return judge(
        text,
        "3.3, Fig. 7a",
        [difference],
        f"early mean {top.mean():+.3f} for the 10 % largest, {every.mean():+.3f} for all, "
        f"difference {difference.mean}. Rule: {INTERVAL} of the difference below −{CLEAR}.",
        runs=own["run_id"].nunique(),
    )


def opposite(own: DataFrame, start: str) -> Claim:
    """Holds if late in training more than 51 % of the weights have W·g < 0."""
    text, source = f"{start}more weights have W·g < 0 than the opposite.", "3.3, Fig. 7b"
    curve = mean_curve(own, "opposite_sign")
    if not is_course(curve):
        return too_short(text, source, "opposite_sign")
    value = Condition(_over(own, "opposite_sign", late), 0.5 + CLEAR, 0.5 + WORTH_FINDING)
    return judge(
        text,
        source,
        [value],
        f"{curve.iloc[0]:.1%} at epoch {curve.index[0]}, late mean {value.mean.written('.1%')}, "
        f"{curve.iloc[-1]:.1%} at the end. Rule: {INTERVAL} of the late mean above 51 %.",
        runs=own["run_id"].nunique(),
    )


def nearly_80(own: DataFrame, start: str) -> Claim:
    """Holds if at the end more than 75 % of the largest weights have W·g < 0."""
    text = (
        f"{start}nearly 80 % of the 10 % largest weights have the sign opposite to their gradient."
    )
    curve = mean_curve(own, "opposite_sign_top10")
    if not is_course(curve):
        return too_short(text, "3.3, Fig. 7b", "opposite_sign_top10")
    end = _over(own, "opposite_sign_top10", lambda values: values.iloc[-1:])
    value = Condition(end, NEARLY_80, REPORTED)
    return judge(
        text,
        "3.3, Fig. 7b",
        [value],
        f"{curve.iloc[0]:.1%} at epoch {curve.index[0]}, {value.mean.written('.1%')} at epoch "
        f"{curve.index[-1]}, highest {curve.max():.1%} at epoch {curve.idxmax()}. Rule: {INTERVAL} "
        f"at the end above {NEARLY_80:.0%}.",
        runs=own["run_id"].nunique(),
    )


def _over(own: DataFrame, name: str, part: Part) -> Series[float]:
    """Return each seed's mean of a metric over a part of the training."""
    return read_by_seed(own, name, lambda curve: part(curve).mean(), fewest=1)
