"""Claims about sharpness and PAC-Bayes with true and random labels: Fig. 2."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gsnr_sweep.analysis.claim import Claim, verdict
from gsnr_sweep.papers.neyshabur2017.claims.labels import (
    FEWEST,
    above_at_every_size,
    label_gap,
    moves_less,
)
from gsnr_sweep.papers.neyshabur2017.claims.over_seeds import (
    INTERVAL,
    judge_groups,
    seed_mean,
    sentence,
)
from gsnr_sweep.papers.neyshabur2017.complexity_measures import LEVEL, LOG10_KL, MAX_SHARPNESS
from gsnr_sweep.papers.neyshabur2017.networks import interpolating, trained_networks

if TYPE_CHECKING:
    from pandas import DataFrame

    from gsnr_sweep.analysis.analysis import Analysis

SOURCE = "Neyshabur et al. 2017, Fig. 2"


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
    means = {n: seed_mean(gap[n]) for n in gap}
    ends = [*means.values()][:1] + [*means.values()][-1:]
    told = "; ".join(f"n = {n}: {mean}" for n, mean in means.items())
    return Claim(
        sentence(
            about,
            "max sharpness alone does not tell true from random labels: it is higher with true "
            "labels on small training sets and with random labels on large ones.",
        ),
        SOURCE,
        verdict(
            len(means) > 1 and ends[0].is_below and ends[1].is_above,
            len(means) > 1
            and (
                all(mean.is_above for mean in means.values())
                or all(mean.is_below for mean in means.values())
            ),
        ),
        f"max sharpness, random minus true labels: {told or 'no size with both kinds of labels'}. "
        f"Rule: {INTERVAL} below 0 at the smallest n and above 0 at the largest; the claim does "
        "not hold if at every n the same kind is higher.",
        runs=2 * int(gap.count().sum()),
        least=FEWEST,
        seeds=min((mean.seeds for mean in means.values()), default=0),
    )
