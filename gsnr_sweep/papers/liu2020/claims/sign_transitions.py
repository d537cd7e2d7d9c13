"""Claims about weights that change between W·g < 0 and W·g > 0: 3.3."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gsnr_sweep.analysis.claim import Claim
from gsnr_sweep.analysis.curves import early, read_by_seed, too_short
from gsnr_sweep.analysis.rule import Condition, judge
from gsnr_sweep.analysis.seed_means import INTERVAL, seed_mean

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from gsnr_sweep.analysis.analysis import Analysis

SAME, OPPOSITE = "_from_same", "_from_opposite"
MORE_OFTEN = 0.02
"""Share of the weights that more of one state gain than of the other that a rule should find."""
TIMES = 1.2
"""Ratio of the rates of changing over, of chance 1, that a rule should find."""


def sign_transition_claims(analysis: Analysis) -> list[Claim]:
    """Judge what 3.3 says of weights with W·g < 0 and with W·g > 0, for each initial weights.

    Chance is that signs of weights have nothing to do with their gradients: then gradients of both
    states change their sign, and grow, equally often. Rates of changing over are means over the
    training; "early" is its first quarter.
    """
    claims: list[Claim] = []
    for init, own in analysis.frame.groupby("init", sort=False):
        start = f"Initial weights '{init}': "
        claims += [gain(own, start), change_over(own, start), more_for_large(own, start)]
    return claims


def gain(own: DataFrame, start: str) -> Claim:
    """Holds if early in training |g| grows for more of the weights with W·g < 0 than W·g > 0."""
    text = f"{start}weights with W·g < 0 gain: their |g| grows more often than with W·g > 0."
    opposite, same = _early(own, f"g_grew{OPPOSITE}"), _early(own, f"g_grew{SAME}")
    difference = Condition(opposite - same, 0.0, MORE_OFTEN)
    if not difference.mean.seeds:
        return too_short(text, "3.3", f"g_grew{OPPOSITE}")
    both = [seed_mean(_early(own, f"both_grew{state}")) for state in (OPPOSITE, SAME)]
    return judge(
        text,
        "3.3",
        [difference],
        f"early, from one look to the next, |g| grew for {seed_mean(opposite).written('.1%')} of "
        f"the weights with W·g < 0 and {seed_mean(same).written('.1%')} with W·g > 0, difference "
        f"{difference.mean.written('+.2%')}; |W| and |g| both for {both[0].written('.1%')} and "
        f"{both[1].written('.1%')}. Rule: {INTERVAL} of the difference above 0, which chance "
        "gives.",
        runs=own["run_id"].nunique(),
    )


def change_over(own: DataFrame, start: str) -> Claim:
    """Holds if gradients turn W·g > 0 into W·g < 0 more often than the other way round."""
    text = f"{start}weights with W·g > 0 change over to W·g < 0 more often than back."
    ratio = Condition(_ratio(own, "changed_by_g"), 1.0, TIMES)
    if not ratio.mean.seeds:
        return too_short(text, "3.3", f"changed_by_g{SAME}")
    return judge(
        text,
        "3.3",
        [ratio],
        f"by a change of the gradient's sign {_rates(own, 'changed_by_g')}, ratio "
        f"{ratio.mean.written('.3f')}; with those where the weight's changed, as descent itself "
        f"makes it, {_rates(own, 'changed')}, ratio "
        f"{seed_mean(_ratio(own, 'changed')).written('.3f')}. Rule: {INTERVAL} of the first ratio "
        "above 1, which chance gives.",
        runs=own["run_id"].nunique(),
    )


def more_for_large(own: DataFrame, start: str) -> Claim:
    """Holds if the ratio of these rates is larger for the 10 % largest weights than for all."""
    text = f"{start}for the 10 % largest weights this is more pronounced."
    every, top = _ratio(own, "changed_by_g"), _ratio(own, "changed_by_g", "_top10")
    difference = Condition(top - every, 0.0, TIMES - 1)
    if not difference.mean.seeds:
        return too_short(text, "3.3", f"changed_by_g{SAME}_top10")
    return judge(
        text,
        "3.3",
        [difference],
        f"of the 10 % largest {_rates(own, 'changed_by_g', '_top10')}, ratio "
        f"{seed_mean(top).written('.3f')}; of all {seed_mean(every).written('.3f')}; difference "
        f"{difference.mean}. Rule: {INTERVAL} of the difference above 0.",
        runs=own["run_id"].nunique(),
    )


def _rates(own: DataFrame, name: str, of: str = "") -> str:
    rates = [seed_mean(_whole(own, f"{name}{state}{of}")) for state in (SAME, OPPOSITE)]
    return f"{rates[0].written('.2%')} a look over, {rates[1].written('.2%')} back"


def _ratio(own: DataFrame, name: str, of: str = "") -> Series[float]:
    """Return each seed's rate from W·g > 0 over that from W·g < 0."""
    back = _whole(own, f"{name}{OPPOSITE}{of}")
    ratio: Series[float] = _whole(own, f"{name}{SAME}{of}") / back[back > 0]
    return ratio


def _early(own: DataFrame, name: str) -> Series[float]:
    return read_by_seed(own, name, lambda curve: early(curve).mean())


def _whole(own: DataFrame, name: str) -> Series[float]:
    return read_by_seed(own, name, lambda curve: curve.mean())
