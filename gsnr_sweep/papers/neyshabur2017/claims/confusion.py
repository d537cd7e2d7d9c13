"""Claims about global minima that generalize poorly: Fig. 3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gsnr_sweep.analysis.claim import Claim
from gsnr_sweep.analysis.rule import Condition, judge
from gsnr_sweep.analysis.seed_means import INTERVAL
from gsnr_sweep.papers.neyshabur2017.claims.over_seeds import by_seed, judge_groups, sentence
from gsnr_sweep.papers.neyshabur2017.complexity_measures import MAX_SHARPNESS, NORMS, over_margin
from gsnr_sweep.papers.neyshabur2017.networks import interpolating, trained_networks

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from gsnr_sweep.analysis.analysis import Analysis

SOURCE = "Neyshabur et al. 2017, Fig. 3"
CONFUSION, ERROR = "data.confusion", "test_error"
FEWEST_SIZES = 3
"""Sizes of the confusion set from which there is a trend."""
FEWEST = 3 * FEWEST_SIZES
RISES = 0.5
"""Rank correlation that the rule should find."""


def confusion_claims(analysis: Analysis) -> list[Claim]:
    """Judge what is said of confusion sets, by networks without a training error."""
    networks = interpolating(trained_networks(analysis))
    return judge_groups(analysis, networks, (CONFUSION,), _judge)


def _judge(networks: DataFrame, about: str) -> list[Claim]:
    norms = [rises(networks, over_margin(norm), name, about) for norm, name in NORMS.items()]
    return [*norms, sharpness_does_not_rise(networks, about)]


def rank_correlations(networks: DataFrame, column: str, other: str) -> Series[Any]:
    """Return each seed's Spearman coefficient of two columns over confusion sets."""
    from pandas import Series

    tables = [by_seed(networks, name, CONFUSION) for name in (column, other)]
    if not all(table.size for table in tables):
        return Series(dtype=float)
    first, second = tables[0].align(tables[1], join="inner")
    known = first.notna() & second.notna()
    ranks = [table.where(known).rank(axis="columns") for table in (first, second)]
    enough = known.sum(axis="columns") >= FEWEST_SIZES
    return ranks[0].corrwith(ranks[1], axis=1)[enough]


def rises(networks: DataFrame, column: str, name: str, about: str = "") -> Claim:
    """Holds if a norm rises with the confusion set and with the test error.

    The 95 % intervals over the seeds of both rank correlations are above 0; does not hold if one is
    below 0.
    """
    both = _both(networks, column, RISES)
    return judge(
        sentence(
            about, f"the {name} over γ² rises with the confusion set and with the test error."
        ),
        SOURCE,
        both,
        f"Spearman's coefficient {_told(*both)}. Rule: {INTERVAL} of both above 0.",
        runs=_runs(networks, column),
        least=FEWEST,
    )


def sharpness_does_not_rise(networks: DataFrame, about: str = "") -> Claim:
    """Holds if max sharpness falls with the confusion set and with the test error.

    The 95 % intervals over the seeds of both rank correlations are below 0; does not hold if one is
    above 0.
    """
    both = _both(networks, MAX_SHARPNESS, -RISES)
    return judge(
        sentence(about, "max sharpness does not rise with the confusion set and the test error."),
        SOURCE,
        both,
        f"Spearman's coefficient {_told(*both)}. Rule: {INTERVAL} of both below 0; "
        "the claim does not hold if one is above 0.",
        runs=_runs(networks, MAX_SHARPNESS),
        least=FEWEST,
    )


def _both(networks: DataFrame, column: str, effect: float) -> list[Condition]:
    """Return the conditions on the rank correlation with the set's size and with the test error."""
    with_size = networks.assign(size=networks[CONFUSION]) if CONFUSION in networks else networks
    return [
        Condition(rank_correlations(with_size, column, other), 0.0, effect)
        for other in ("size", ERROR)
    ]


def _told(with_set: Condition, with_error: Condition) -> str:
    return (
        f"with the size of the confusion set {with_set.mean}, with the test error {with_error.mean}"
    )


def _runs(networks: DataFrame, column: str) -> int:
    return int(by_seed(networks, column, CONFUSION).count().sum())
