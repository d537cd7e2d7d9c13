"""Claims about global minima that generalize poorly: Fig. 3."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gsnr_sweep.analysis.claim import Claim, verdict
from gsnr_sweep.papers.neyshabur2017.claims.over_seeds import (
    INTERVAL,
    SeedMean,
    by_seed,
    judge_groups,
    seed_mean,
    sentence,
)
from gsnr_sweep.papers.neyshabur2017.complexity_measures import MAX_SHARPNESS, NORMS, over_margin
from gsnr_sweep.papers.neyshabur2017.networks import interpolating, trained_networks

if TYPE_CHECKING:
    from pandas import DataFrame

    from gsnr_sweep.analysis.analysis import Analysis

SOURCE = "Neyshabur et al. 2017, Fig. 3"
CONFUSION, ERROR = "data.confusion", "test_error"
FEWEST_SIZES = 3
"""Sizes of the confusion set from which there is a trend."""
FEWEST = 2 * FEWEST_SIZES


def confusion_claims(analysis: Analysis) -> list[Claim]:
    """Judge what is said of confusion sets, by networks without a training error."""
    networks = interpolating(trained_networks(analysis))
    return judge_groups(analysis, networks, (CONFUSION,), _judge)


def _judge(networks: DataFrame, about: str) -> list[Claim]:
    norms = [rises(networks, over_margin(norm), name, about) for norm, name in NORMS.items()]
    return [*norms, sharpness_does_not_rise(networks, about)]


def rank_correlations(networks: DataFrame, column: str, other: str) -> SeedMean:
    """Return the mean over seeds of Spearman's coefficient of two columns over confusion sets."""
    tables = [by_seed(networks, name, CONFUSION) for name in (column, other)]
    if not all(table.size for table in tables):
        return SeedMean()
    first, second = tables[0].align(tables[1], join="inner")
    known = first.notna() & second.notna()
    ranks = [table.where(known).rank(axis="columns") for table in (first, second)]
    enough = known.sum(axis="columns") >= FEWEST_SIZES
    return seed_mean(ranks[0].corrwith(ranks[1], axis=1)[enough])


def rises(networks: DataFrame, column: str, name: str, about: str = "") -> Claim:
    """Holds if a norm rises with the confusion set and with the test error.

    The 95 % intervals over the seeds of both rank correlations are above 0; does not hold if one is
    below 0.
    """
    with_set, with_error = _both(networks, column)
    return Claim(
        sentence(
            about, f"the {name} over γ² rises with the confusion set and with the test error."
        ),
        SOURCE,
        verdict(
            with_set.is_above and with_error.is_above, with_set.is_below or with_error.is_below
        ),
        f"Spearman's coefficient {_told(with_set, with_error)}. Rule: {INTERVAL} of both above 0.",
        runs=_runs(networks, column),
        least=FEWEST,
        seeds=min(with_set.seeds, with_error.seeds),
    )


def sharpness_does_not_rise(networks: DataFrame, about: str = "") -> Claim:
    """Holds if max sharpness falls with the confusion set and with the test error.

    The 95 % intervals over the seeds of both rank correlations are below 0; does not hold if one is
    above 0.
    """
    with_set, with_error = _both(networks, MAX_SHARPNESS)
    return Claim(
        sentence(about, "max sharpness does not rise with the confusion set and the test error."),
        SOURCE,
        verdict(
            with_set.is_below and with_error.is_below, with_set.is_above or with_error.is_above
        ),
        f"Spearman's coefficient {_told(with_set, with_error)}. Rule: {INTERVAL} of both below 0; "
        "the claim does not hold if one is above 0.",
        runs=_runs(networks, MAX_SHARPNESS),
        least=FEWEST,
        seeds=min(with_set.seeds, with_error.seeds),
    )


def _both(networks: DataFrame, column: str) -> tuple[SeedMean, SeedMean]:
    with_size = networks.assign(size=networks[CONFUSION]) if CONFUSION in networks else networks
    return (
        rank_correlations(with_size, column, "size"),
        rank_correlations(with_size, column, ERROR),
    )


def _told(with_set: SeedMean, with_error: SeedMean) -> str:
    return f"with the size of the confusion set {with_set}, with the test error {with_error}"


def _runs(networks: DataFrame, column: str) -> int:
    return int(by_seed(networks, column, CONFUSION).count().sum())
