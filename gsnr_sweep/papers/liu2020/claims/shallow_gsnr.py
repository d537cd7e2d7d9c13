"""Claims about the GSNR of shallow models beside that of deep ones: 3 and 3.1."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gsnr_sweep.analysis.claim import Claim
from gsnr_sweep.analysis.curves import RISE, is_course, last, mean_curve, read_by_seed, too_short
from gsnr_sweep.analysis.rule import Condition, judge
from gsnr_sweep.analysis.seed_means import INTERVAL
from gsnr_sweep.papers.liu2020.claims.gsnr_curves import rises, stays_high

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from gsnr_sweep.analysis.analysis import Analysis

SHALLOW = "linear"
"""Models that are called shallow: logistic regression and linear support vector machines."""
SOURCE = "3, 3.1"
LEFT = 0.5
"""Last GSNR over the first that the rule should find."""


def shallow_gsnr_claims(analysis: Analysis) -> list[Claim]:
    """Judge what 3 says of shallow models and of deep ones, for each model and loss."""
    frame = analysis.frame
    axes = [name for name in ("model", "loss.name") if name in frame]
    claims: list[Claim] = []
    for (model, *loss), own in frame.groupby(axes, sort=False):
        name = ", ".join([str(model), *map(str, loss)])
        claims += (
            [falls(own, name)] if model == SHALLOW else [rises(own, name), stays_high(own, name)]
        )
    return claims


def falls(own: DataFrame, name: str) -> Claim:
    """Holds if the GSNR never regains 1.25 times an earlier value, and ends below its start."""
    text = f"{name}: the GSNR of a shallow model falls during the whole training."
    curve = mean_curve(own, "gsnr_mean")
    if not is_course(curve):
        return too_short(text, SOURCE, "gsnr_mean")
    gain = Condition(read_by_seed(own, "gsnr_mean", regained), RISE, 1.0)
    left = Condition(read_by_seed(own, "gsnr_mean", last, relative=True), 1.0, LEFT)
    return judge(
        text,
        SOURCE,
        [gain, left],
        f"mean GSNR {curve.iloc[0]:.4f} at epoch {curve.index[0]}, lowest {curve.min():.4f} at "
        f"epoch {curve.idxmin()}, {curve.iloc[-1]:.4f} at the end; largest rise above an earlier "
        f"value, as a factor, {gain.mean.written('.2f')}; last over first "
        f"{left.mean.written('.2f')}. Rule: {INTERVAL} of the rise below {RISE} and of the last "
        "below 1.",
        runs=own["run_id"].nunique(),
    )


def regained(curve: Series[float]) -> float:
    """Return max over t of GSNR_t / min_{s ≤ t} GSNR_s: 1 for a curve that never rises."""
    return float((curve / curve.cummin()).max()) if curve.min() > 0 else math.nan
