"""Claims about the squared gradient mean, GSNR's numerator: 3.3."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gsnr_sweep.analysis.claim import Claim
from gsnr_sweep.analysis.curves import early, last, read_by_seed, too_short
from gsnr_sweep.analysis.rule import Condition, judge
from gsnr_sweep.analysis.seed_means import INTERVAL, seed_mean

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from gsnr_sweep.analysis.analysis import Analysis

METRIC = "grad_sq_mean"
CLEAR_RISE = 1.25
"""Factor by which the squared gradient mean rises that a rule should find."""


def squared_gradient_claims(analysis: Analysis) -> list[Claim]:
    """Judge what 3.3 says of g², for each kind of initial weights.

    Its growth is its value at the end of the first quarter of the training over that at the start.
    """
    claims: list[Claim] = []
    for init, own in analysis.frame.groupby("init", sort=False):
        start = f"Initial weights '{init}': "
        claims += [rises(own, start), rises_more_for_large(own, start)]
    return claims


def rises(own: DataFrame, start: str) -> Claim:
    """Holds if early in training the mean of g² over all weights grows."""
    text = f"{start}the squared gradient mean, GSNR's numerator, increases early in training."
    growth = Condition(_growth(own, METRIC), 1.0, CLEAR_RISE)
    if not growth.mean.seeds:
        return too_short(text, "3.3", METRIC)
    others = {"W·g < 0": f"{METRIC}_opposite", "W·g > 0": f"{METRIC}_same"}
    others["all without the noise ρ²/n"] = "grad_sq_debiased"
    told = "; ".join(f"{which} {_written(own, name)}" for which, name in others.items())
    return judge(
        text,
        "3.3",
        [growth],
        f"after a quarter of the training over the start {growth.mean.written('.2f')}; of the "
        f"weights with {told}. Rule: {INTERVAL} above 1.",
        runs=own["run_id"].nunique(),
    )


def rises_more_for_large(own: DataFrame, start: str) -> Claim:
    """Holds if, of the weights with W·g < 0, g² of the 10 % largest grows, and more than of all."""
    text = f"{start}of the weights with W·g < 0, g² increases more for the 10 % largest."
    name = f"{METRIC}_opposite"
    every, top = _growth(own, name), _growth(own, f"{name}_top10")
    growth, ratio = (Condition(one, 1.0, CLEAR_RISE) for one in (top, top / every))
    if not ratio.mean.seeds:
        return too_short(text, "3.3", f"{name}_top10")
    return judge(
        text,
        "3.3",
        [growth, ratio],
        f"after a quarter of the training over the start {growth.mean.written('.2f')} for the "
        f"10 % largest, {_written(own, name)} for all, ratio {ratio.mean.written('.2f')}. Rule: "
        f"{INTERVAL} of the first and of the ratio above 1.",
        runs=own["run_id"].nunique(),
    )


def _growth(own: DataFrame, name: str) -> Series[float]:
    """Return each seed's growth of a metric over the first quarter of the training."""
    return read_by_seed(own, name, lambda curve: last(early(curve)), relative=True)


def _written(own: DataFrame, name: str) -> str:
    return seed_mean(_growth(own, name)).written(".2f")
