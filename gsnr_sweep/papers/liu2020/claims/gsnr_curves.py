"""Claims about the GSNR over training: Fig. 5a and b."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gsnr_sweep.analysis.claim import ONE_RUN, Claim, verdict
from gsnr_sweep.analysis.curves import RISE, is_course, mean_curve, too_short

if TYPE_CHECKING:
    from pandas import DataFrame

    from gsnr_sweep.analysis.analysis import Analysis

LOW = 0.5
"""GSNR with random labels over that with real ones, below which it counts as low."""


def gsnr_curve_claims(analysis: Analysis) -> list[Claim]:
    """Judge what 3.1 says, for each model."""
    claims: list[Claim] = []
    for model, own in analysis.frame.groupby("model", sort=False):
        real, random = own[own["p_random"] == 0], own[own["p_random"] == 1]
        if not real.empty:
            claims.append(rises(real, str(model)))
        if not real.empty and not random.empty:
            claims.append(stays_low(real, random, str(model)))
    return claims


def rises(real: DataFrame, model: str) -> Claim:
    """Holds if the mean GSNR reaches 1.25 times its start; does not hold if it never exceeds it."""
    text, source = f"{model}: with real labels the GSNR rises early in training.", "3.1, Fig. 5"
    curve = mean_curve(real, "gsnr_mean")
    if not is_course(curve):
        return too_short(text, source, "gsnr_mean")
    start, peak = float(curve.iloc[0]), float(curve.max())
    floor = (1 / real["n"]).mean()
    return Claim(
        text,
        source,
        verdict(peak >= RISE * start and peak > start, peak <= start),
        f"mean GSNR {start:.4f} at epoch {curve.index[0]}, lowest {curve.min():.4f} at epoch "
        f"{curve.idxmin()}, highest {peak:.4f} at epoch {curve.idxmax()}, {curve.iloc[-1]:.4f} at "
        f"the end (floor 1/n: {floor:.4f}). Rule: highest ≥ {RISE} times the start.",
        runs=real["run_id"].nunique(),
        least=ONE_RUN,
    )


def stays_low(real: DataFrame, random: DataFrame, model: str) -> Claim:
    """Holds if the mean over the measured epochs is below half of that with real labels.

    The floor 1/n is taken off both. Does not hold if it is as high as with real labels. Cannot be
    told where real labels themselves do not rise above the floor.
    """
    text = f"{model}: with random labels the GSNR stays low throughout training."
    above = [mean_curve(one, "gsnr_mean") - (1 / one["n"]).mean() for one in (real, random)]
    if not is_course(*above):
        return too_short(text, "3.1, Fig. 5", "gsnr_mean")
    with_real, with_random = (float(curve.mean()) for curve in above)
    signal = with_real > 0
    return Claim(
        text,
        "3.1, Fig. 5",
        verdict(signal and with_random <= LOW * with_real, signal and with_random >= with_real),
        f"mean over the measured epochs, above the floor 1/n: {with_random:.4f} with random, "
        f"{with_real:.4f} with real labels; highest {above[1].max():.4f} at epoch "
        f"{above[1].idxmax()} and {above[0].max():.4f} at epoch {above[0].idxmax()}. "
        f"Rule: ratio ≤ {LOW}.",
        runs=random["run_id"].nunique(),
        least=ONE_RUN,
    )
