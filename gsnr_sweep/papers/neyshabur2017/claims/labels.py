"""Rules about a measure with random against true labels, over the size of the training set."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from gsnr_sweep.analysis.claim import UNCLEAR, Claim
from gsnr_sweep.analysis.rule import Condition, judge
from gsnr_sweep.analysis.seed_means import INTERVAL, SeedMean, seed_mean
from gsnr_sweep.papers.neyshabur2017.claims.over_seeds import by_seed, complete

if TYPE_CHECKING:
    from pandas import DataFrame, Series

TRUE, RANDOM = 0, 1
FEWEST = 12
"""Runs of two kinds of labels, two sizes and three seeds."""
DECADES = 0.3
"""Difference of logarithms that a rule should find: a factor of 2."""


def label_gap(networks: DataFrame, column: str) -> DataFrame:
    """Return a column with random labels minus with true ones: a row a seed, a column an n.

    Of logarithms this is the logarithm of the ratio.
    """
    tables = _by_labels(networks, column)
    gap = tables[RANDOM] - tables[TRUE]
    return gap.dropna(how="all").dropna(how="all", axis="columns")


def _by_labels(networks: DataFrame, column: str) -> dict[int, DataFrame]:
    """Return a column by seed and n for each kind of labels."""
    return {
        kind: by_seed(networks[networks["p_random"] == kind], column, "n")
        for kind in (TRUE, RANDOM)
    }


def above_at_every_size(networks: DataFrame, column: str, text: str, source: str) -> Claim:
    """Holds if random minus true is above 0 at every n: the 95 % interval over the seeds.

    Does not hold if it is below 0 at one n.
    """
    gap = label_gap(networks, column)
    higher = {n: Condition(gap[n], 0.0, DECADES) for n in gap}
    means = {n: condition.mean for n, condition in higher.items()}
    return judge(
        text,
        source,
        [*higher.values()],
        f"log10 of random over true labels: {_told(means)}. Rule: {INTERVAL} above 0 at every n.",
        runs=2 * int(gap.count().sum()),
        least=FEWEST,
    )


def gap_growth(networks: DataFrame, column: str) -> tuple[DataFrame, Series[Any]]:
    """Return the complete part of `label_gap`, and how much it grows from its first n to its last.

    Returns:
        The gap, and the growth of each seed; empty for fewer than two sizes.
    """
    from pandas import Series

    gap = complete(label_gap(networks, column))
    if gap.shape[1] < 2:
        return gap, Series(dtype=float)
    return gap, gap.iloc[:, -1] - gap.iloc[:, 0]


def gap_grows(networks: DataFrame, column: str, text: str, source: str) -> Claim:
    """Holds if random over true grows from the smallest n to the largest; not if it shrinks.

    The 95 % interval over the seeds of the growth of the logarithm is above, or below, 0.
    """
    gap, by_seed = gap_growth(networks, column)
    growth = Condition(by_seed, 0.0, DECADES)
    return judge(
        text,
        source,
        [growth],
        f"log10 of random over true labels: {_told({n: seed_mean(gap[n]) for n in gap})}; growth "
        f"{growth.mean}. Rule: {INTERVAL} of the growth above 0.",
        runs=2 * gap.size,
        least=FEWEST,
    )


def moves_less(networks: DataFrame, column: str, text: str, source: str) -> Claim:
    """Holds if a column moves less from the smallest n to the largest with true labels.

    The 95 % interval over the seeds of |change with random| − |change with true labels| is above 0;
    does not hold if it is below.
    """
    tables = _by_labels(networks, column)
    sizes = complete(label_gap(networks, column)).columns
    changes = {
        kind: table[sizes[-1]] - table[sizes[0]] for kind, table in tables.items() if len(sizes) > 1
    }
    if not changes:
        return Claim(text, source, UNCLEAR, "Not two sizes with both kinds of labels.")
    less = Condition(changes[RANDOM].abs() - changes[TRUE].abs(), 0.0, DECADES)
    told = {kind: seed_mean(change) for kind, change in changes.items()}
    return judge(
        text,
        source,
        [less],
        f"change of log10 from n = {sizes[0]} to {sizes[-1]}: true labels {told[TRUE]}, random "
        f"labels {told[RANDOM]}; difference of the amounts {less.mean}. Rule: {INTERVAL} of the "
        "difference above 0.",
        runs=4 * less.mean.seeds,
        least=FEWEST,
    )


def _told(means: dict[Hashable, SeedMean]) -> str:
    told = "; ".join(f"n = {n}: {mean}" for n, mean in means.items())
    return told or "no size with both kinds of labels"
