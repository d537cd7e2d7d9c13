"""Claims about weights and their gradients: Fig. 7."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gsnr_sweep.analysis.claim import ONE_RUN, Claim, verdict
from gsnr_sweep.analysis.curves import early, is_course, late, mean_curve, too_short

if TYPE_CHECKING:
    from pandas import DataFrame

    from gsnr_sweep.analysis.analysis import Analysis

CLEAR = 0.01
"""Correlation, or share beyond one half, that counts as more than nothing."""
NEARLY_80, FAR_FROM_80 = 0.75, 0.65


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
    """Holds if the early mean correlation of Δg and W is below −0.01; not if above 0.01."""
    text, source = f"{start}early in training Δg is negatively correlated with W.", "3.3, Fig. 7a"
    curve = mean_curve(own, "corr_dg_w")
    if curve.empty:
        return too_short(text, source, "corr_dg_w")
    value = float(early(curve).mean())
    return Claim(
        text,
        source,
        verdict(value < -CLEAR, value > CLEAR),
        f"all weights: {curve.iloc[0]:+.3f} at epoch {curve.index[0]}, early mean {value:+.3f}, "
        f"{curve.iloc[-1]:+.3f} at the end. Rule: early mean < −{CLEAR}.",
        runs=own["run_id"].nunique(),
        least=ONE_RUN,
    )


def more_negative(own: DataFrame, start: str) -> Claim:
    """Holds if the early mean for the 10 % largest weights is below that of all by 0.01."""
    text = f"{start}for the 10 % largest weights the correlation is even more negative."
    curves = [mean_curve(own, name) for name in ("corr_dg_w", "corr_dg_w_top10")]
    if any(curve.empty for curve in curves):
        return too_short(text, "3.3, Fig. 7a", "corr_dg_w_top10")
    every, top = (float(early(curve).mean()) for curve in curves)
    return Claim(
        text,
        "3.3, Fig. 7a",
        verdict(top < every - CLEAR, top > every + CLEAR),
        f"early mean {top:+.3f} for the 10 % largest, {every:+.3f} for all. "
        f"Rule: lower by {CLEAR}.",
        runs=own["run_id"].nunique(),
        least=ONE_RUN,
    )


def opposite(own: DataFrame, start: str) -> Claim:
    """Holds if late in training more than 51 % of the weights have W·g < 0; not if below 50 %."""
    text, source = f"{start}more weights have W·g < 0 than the opposite.", "3.3, Fig. 7b"
    curve = mean_curve(own, "opposite_sign")
    if not is_course(curve):
        return too_short(text, source, "opposite_sign")
    value = float(late(curve).mean())
    return Claim(
        text,
        source,
        verdict(value > 0.5 + CLEAR, value < 0.5),
        f"{curve.iloc[0]:.1%} at epoch {curve.index[0]}, late mean {value:.1%}, "
        f"{curve.iloc[-1]:.1%} at the end. Rule: late mean > 51 %.",
        runs=own["run_id"].nunique(),
        least=ONE_RUN,
    )


def nearly_80(own: DataFrame, start: str) -> Claim:
    """Holds if at the end at least 75 % of the largest weights have W·g < 0; not if below 65 %."""
    text = (
        f"{start}nearly 80 % of the 10 % largest weights have the sign opposite to their gradient."
    )
    curve = mean_curve(own, "opposite_sign_top10")
    if not is_course(curve):
        return too_short(text, "3.3, Fig. 7b", "opposite_sign_top10")
    value = float(curve.iloc[-1])
    return Claim(
        text,
        "3.3, Fig. 7b",
        verdict(value >= NEARLY_80, value < FAR_FROM_80),
        f"{curve.iloc[0]:.1%} at epoch {curve.index[0]}, {value:.1%} at epoch {curve.index[-1]}, "
        f"highest {curve.max():.1%} at epoch {curve.idxmax()}. Rule: ≥ {NEARLY_80:.0%} at the end.",
        runs=own["run_id"].nunique(),
        least=ONE_RUN,
    )
