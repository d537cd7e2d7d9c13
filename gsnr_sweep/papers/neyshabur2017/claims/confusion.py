"""Claims about global minima that generalize poorly: Fig. 3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gsnr_sweep.analysis.claim import Claim
from gsnr_sweep.analysis.rule import Condition, judge
from gsnr_sweep.analysis.seed_means import INTERVAL
from gsnr_sweep.papers.neyshabur2017.claims.over_seeds import by_seed, judge_groups, sentence
from gsnr_sweep.papers.neyshabur2017.complexity_measures import (
    LEVEL,
    LOG10_KL,
    MAX_SHARPNESS,
    NORMS,
    over_margin,
)
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
    norms = [
        rises(networks, over_margin(norm), f"the {name} over γ²", about)
        for norm, name in NORMS.items()
    ]
    joint = f"the KL at expected sharpness {LEVEL}"
    return [
        error_rises(networks, about),
        *norms,
        rises(networks, LOG10_KL, joint, about),
        sharpness_does_not_rise(networks, about),
    ]


def error_rises(networks: DataFrame, about: str = "") -> Claim:
    """Holds if global minima of the true labels' loss differ in test error, by what else is fitted.

    The 95 % interval over the seeds of the rank correlation of test error and confusion set is
    above 0.
    """
    (with_set, _) = _both(networks, ERROR, RISES)
    text = "networks without an error on the same true labels differ in test error, which rises "
    return judge(
        sentence(about, f"{text}with the confusion set."),
        SOURCE,
        [with_set],
        f"Spearman's coefficient with the size of the confusion set {with_set.mean}; mean test "
        f"error {_mean_errors(networks)}. Rule: {INTERVAL} above 0.",
        runs=_runs(networks, ERROR),
        least=FEWEST,
    )


def _mean_errors(networks: DataFrame) -> str:
    means = by_seed(networks, ERROR, CONFUSION).mean()
    return ", ".join(f"{value:.3g} (K = {size:g})" for size, value in means.items())


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
    """Holds if a measure rises with the confusion set and with the test error.

    The 95 % intervals over the seeds of both rank correlations are above 0; does not hold if one is
    below 0.
    """
    both = _both(networks, column, RISES)
    return judge(
        sentence(about, f"{name} rises with the confusion set and with the test error."),
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
