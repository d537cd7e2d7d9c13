"""Claims about sharpness and PAC-Bayes with true and random labels: Fig. 2."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gsnr_sweep.analysis.claim import Claim
from gsnr_sweep.analysis.rule import Condition, judge
from gsnr_sweep.analysis.seed_means import INTERVAL, seed_mean
from gsnr_sweep.papers.neyshabur2017.claims.labels import (
    FEWEST,
    above_at_every_size,
    label_gap,
    moves_less,
)
from gsnr_sweep.papers.neyshabur2017.claims.over_seeds import judge_groups, sentence
from gsnr_sweep.papers.neyshabur2017.complexity_measures import LEVEL, LOG10_KL, MAX_SHARPNESS
from gsnr_sweep.papers.neyshabur2017.networks import interpolating, trained_networks

if TYPE_CHECKING:
    from pandas import DataFrame

    from gsnr_sweep.analysis.analysis import Analysis

SOURCE = "Neyshabur et al. 2017, Fig. 2"
WORTH_FINDING = 0.1
"""Difference of max sharpness that the rule should find."""


def sharpness_claims(analysis: Analysis) -> list[Claim]:
    """Judge what is said of sharpness, by networks without a training error."""
    networks = interpolating(trained_networks(analysis))
    return judge_groups(analysis, networks, ("n", "p_random"), _judge)


def _judge(networks: DataFrame, about: str) -> list[Claim]:
    at = f"KL at expected sharpness {LEVEL}"
    lower = sentence(about, f"with true labels the bi-criteria curve is lower ({at}).")
    less = sentence(about, f"with true labels the bi-criteria curve moves less with n ({at}).")
    return [
        crosses(networks, about),
        above_at_every_size(networks, LOG10_KL, lower, SOURCE),
        moves_less(networks, LOG10_KL, less, SOURCE),
    ]


def crosses(networks: DataFrame, about: str = "") -> Claim:
    """Holds if max sharpness is higher with true labels at the smallest n and lower at the largest.

    Each by the 95 % interval over the seeds. Does not hold if at every n the same kind of labels
    has the higher one.
    """
    gap = label_gap(networks, MAX_SHARPNESS)
    sizes = list(gap)
    ends = []
    if len(sizes) > 1:
        ends = [
            Condition(gap[sizes[0]], 0.0, -WORTH_FINDING),
            Condition(gap[sizes[-1]], 0.0, WORTH_FINDING),
        ]
    means = {n: seed_mean(gap[n]) for n in sizes}
    told = "; ".join(f"n = {n}: {mean}" for n, mean in means.items())
    return judge(
        sentence(
            about,
            "max sharpness alone does not tell true from random labels: it is higher with true "
            "labels on small training sets and with random labels on large ones.",
        ),
        SOURCE,
        ends,
        f"max sharpness, random minus true labels: {told or 'no size with both kinds of labels'}. "
        f"Rule: {INTERVAL} below 0 at the smallest n and above 0 at the largest; the claim does "
        "not hold if at every n the same kind is higher.",
        runs=2 * int(gap.count().sum()),
        least=FEWEST,
        fails=bool(ends)
        and (
            all(mean.is_above for mean in means.values())
            or all(mean.is_below for mean in means.values())
        ),
    )
