"""Claims about norms with true and random labels: Fig. 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gsnr_sweep.analysis.claim import UNCLEAR, Claim
from gsnr_sweep.analysis.rule import Condition, judge
from gsnr_sweep.analysis.seed_means import INTERVAL, each_seed, seed_mean
from gsnr_sweep.papers.neyshabur2017.claims.labels import (
    DECADES,
    FEWEST,
    RANDOM,
    above_at_every_size,
    gap_grows,
    gap_growth,
)
from gsnr_sweep.papers.neyshabur2017.claims.over_seeds import judge_groups, sentence
from gsnr_sweep.papers.neyshabur2017.complexity_measures import NORMS, over_margin
from gsnr_sweep.papers.neyshabur2017.networks import interpolating, trained_networks

if TYPE_CHECKING:
    from pandas import DataFrame

    from gsnr_sweep.analysis.analysis import Analysis

SOURCE = "Neyshabur et al. 2017, Fig. 1"
FITTING = 0.9
MOST, OTHERS = ("l2", "l2_path"), ("l1_path", "spectral")


def norm_claims(analysis: Analysis) -> list[Claim]:
    """Judge what is said of the norms, by networks without a training error."""
    return judge_groups(analysis, trained_networks(analysis), ("n", "p_random"), _judge)


def _judge(trained: DataFrame, about: str) -> list[Claim]:
    claims = [fits(trained, about)] if "train_error" in trained else []
    networks = interpolating(trained)
    for norm, name in NORMS.items():
        column = over_margin(norm)
        text = sentence(about, f"the {name} over γ² is larger with random than with true labels.")
        claims.append(above_at_every_size(networks, column, text, SOURCE))
        text = sentence(about, f"the gap in the {name} grows with the training set.")
        claims.append(gap_grows(networks, column, text, SOURCE))
    return [*claims, most_pronounced(networks, about)]


def fits(trained: DataFrame, about: str = "") -> Claim:
    """Holds if more than 90 % of a seed's networks with random labels have no training error."""
    random = trained[trained["p_random"] == RANDOM]
    share = Condition(each_seed(random, _fitting), FITTING, 1.0)
    return judge(
        sentence(about, "networks fit random labels, too: their training error is zero."),
        SOURCE,
        [share],
        f"networks with random labels without a training error {share.mean.written('.0%')}. Rule: "
        f"{INTERVAL} above {FITTING:.0%}.",
        runs=len(random),
    )


def _fitting(networks: DataFrame) -> float:
    return len(interpolating(networks)) / len(networks)


def most_pronounced(networks: DataFrame, about: str = "") -> Claim:
    """Holds if the gap grows more in the ℓ2 and the ℓ2-path norm than in both others.

    The 95 % interval over the seeds of (smaller growth of these two) − (larger growth of the
    others), in decades from the smallest n to the largest, is above 0; does not hold if below.
    """
    from pandas import DataFrame

    text = sentence(
        about, "the ℓ2 norm and the ℓ2-path norm separate true from random labels most."
    )
    by_norm = {norm: gap_growth(networks, over_margin(norm))[1] for norm in NORMS}
    if any(growth.empty for growth in by_norm.values()):
        told = "Not two sizes at which all norms are known with both kinds of labels."
        return Claim(text, SOURCE, UNCLEAR, told)
    growth = DataFrame(by_norm).dropna()
    least, most = growth[list(MOST)].min(axis=1), growth[list(OTHERS)].max(axis=1)
    lead = Condition(least - most, 0.0, DECADES)
    told = ", ".join(f"{NORMS[norm]} {seed_mean(values)}" for norm, values in by_norm.items())
    return judge(
        text,
        SOURCE,
        [lead],
        f"growth of log10 of random over true labels with n: {told}; the lead of the two "
        f"{lead.mean}. Rule: {INTERVAL} of the lead above 0.",
        runs=4 * lead.mean.seeds,
        least=FEWEST,
    )
