"""Claims about networks of different width: Fig. 4."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gsnr_sweep.analysis.claim import UNCLEAR, Claim
from gsnr_sweep.analysis.rule import Condition, judge
from gsnr_sweep.analysis.seed_means import INTERVAL
from gsnr_sweep.papers.neyshabur2017.claims.over_seeds import (
    by_seed,
    complete,
    judge_groups,
    sentence,
)
from gsnr_sweep.papers.neyshabur2017.complexity_measures import (
    LEVEL,
    LOG10_KL,
    MAX_SHARPNESS,
    NORMS,
    over_margin,
)
from gsnr_sweep.papers.neyshabur2017.networks import interpolating, trained_networks

if TYPE_CHECKING:
    from pandas import DataFrame

    from gsnr_sweep.analysis.analysis import Analysis

SOURCE = "Neyshabur et al. 2017, Fig. 4"
WIDTH = "ch"
TURNING = ("l2", "l1_path")
FALLING = ("l2_path", "spectral")
FEWEST_WIDTHS = 3
FEWEST = 3 * FEWEST_WIDTHS
DECADES, ERROR = 0.1, 0.01
"""Changes of a logarithm and of the test error that a rule should find."""


def width_claims(analysis: Analysis) -> list[Claim]:
    """Judge what is said of the width; of measures, by networks without a training error."""
    return judge_groups(analysis, trained_networks(analysis), (WIDTH,), _judge)


def _judge(networks: DataFrame, about: str) -> list[Claim]:
    fitting = interpolating(networks)
    claims = [error_falls(networks, about)]
    for norm in TURNING:
        text = sentence(about, f"the {NORMS[norm]} over γ² falls with the width, then rises.")
        claims.append(falls_then_rises(fitting, over_margin(norm), text))
    for norm in FALLING:
        text = sentence(about, f"the {NORMS[norm]} over γ² keeps falling with the width.")
        claims.append(keeps_falling(fitting, over_margin(norm), text))
    joint = f"the joint PAC-Bayes measure, KL at expected sharpness {LEVEL}, falls, then rises."
    text = sentence(about, joint)
    claims.append(falls_then_rises(fitting, LOG10_KL, text))
    sharpness = sentence(about, "max sharpness rises with the width.")
    claims.append(rises_on_the_whole(fitting, MAX_SHARPNESS, sharpness))
    for norm in FALLING:
        with_factors = f"with the factors of its capacity bound the {NORMS[norm]} rises in the end."
        text = sentence(about, with_factors)
        claims.append(rises_late(fitting, over_margin(norm, capacity=True), text))
    return claims


def error_falls(networks: DataFrame, about: str = "") -> Claim:
    """Holds if the test error falls from the narrowest to the widest network; not if it rises."""
    text = sentence(about, "the test error falls with the width.")
    table = _widths(networks, "test_error")
    if table.shape[1] < FEWEST_WIDTHS:
        return _too_few(text, table)
    change = _change(table, 0, -1, -ERROR)
    return judge(
        text,
        SOURCE,
        [change],
        f"mean test error: {_means(table)}; change {change.mean}. Rule: {INTERVAL} of the "
        "change below 0.",
        runs=table.size,
        least=FEWEST,
    )


def falls_then_rises(networks: DataFrame, column: str, text: str) -> Claim:
    """Holds if a measure falls to a width between the ends and rises from there to the widest.

    The width is that of the lowest mean over the seeds; both changes by their 95 % interval over
    the seeds. Does not hold if the lowest mean is at an end and the measure only rises, or only
    falls, on the whole.
    """
    table = _widths(networks, column)
    if table.shape[1] < FEWEST_WIDTHS:
        return _too_few(text, table)
    lowest = int(table.mean().to_numpy().argmin())
    last = table.shape[1] - 1
    fall, rise = _change(table, 0, lowest, -DECADES), _change(table, lowest, last, DECADES)
    return judge(
        text,
        SOURCE,
        [fall, rise],
        f"log10, mean over the seeds: {_means(table)}; lowest at {table.columns[lowest]} units, "
        f"change up to there {fall.mean}, after it {rise.mean}. Rule: lowest between the "
        f"ends, {INTERVAL} of the first change below 0 and of the second above 0.",
        runs=table.size,
        least=FEWEST,
        fails=(lowest == 0 and rise.mean.is_above) or (lowest == last and fall.mean.is_below),
    )


def keeps_falling(networks: DataFrame, column: str, text: str) -> Claim:
    """Holds if a measure falls up to the middle one of the widths, and from there to the widest.

    Both by the 95 % interval over the seeds. Does not hold if it rises in one half.
    """
    table = _widths(networks, column)
    if table.shape[1] < FEWEST_WIDTHS:
        return _too_few(text, table)
    middle = table.shape[1] // 2
    halves = [_change(table, 0, middle, -DECADES), _change(table, middle, -1, -DECADES)]
    return judge(
        text,
        SOURCE,
        halves,
        f"log10, mean over the seeds: {_means(table)}; change up to {table.columns[middle]} units "
        f"{halves[0].mean}, after it {halves[1].mean}. Rule: {INTERVAL} of both below 0.",
        runs=table.size,
        least=FEWEST,
    )


def rises_on_the_whole(networks: DataFrame, column: str, text: str) -> Claim:
    """Holds if a measure is higher for the widest network than for the narrowest."""
    table = _widths(networks, column)
    if table.shape[1] < FEWEST_WIDTHS:
        return _too_few(text, table)
    change = _change(table, 0, -1, DECADES)
    return judge(
        text,
        SOURCE,
        [change],
        f"mean over the seeds: {_means(table)}; change {change.mean}. Rule: {INTERVAL} of the "
        "change above 0.",
        runs=table.size,
        least=FEWEST,
    )


def rises_late(networks: DataFrame, column: str, text: str) -> Claim:
    """Holds if a measure rises from the middle one of the widths to the widest; not if it falls.

    By the 95 % interval over the seeds.
    """
    table = _widths(networks, column)
    if table.shape[1] < FEWEST_WIDTHS:
        return _too_few(text, table)
    middle = table.shape[1] // 2
    change = _change(table, middle, -1, DECADES)
    return judge(
        text,
        SOURCE,
        [change],
        f"log10, mean over the seeds: {_means(table)}; change from {table.columns[middle]} units "
        f"on {change.mean}. Rule: {INTERVAL} of the change above 0.",
        runs=table.size,
        least=FEWEST,
    )


def _widths(networks: DataFrame, column: str) -> DataFrame:
    """Return a column by seed and width, of the widths that every seed has."""
    return complete(by_seed(networks, column, WIDTH))


def _change(table: DataFrame, start: int, end: int, effect: float) -> Condition:
    return Condition(table.iloc[:, end] - table.iloc[:, start], 0.0, effect)


def _means(table: DataFrame) -> str:
    means = table.mean().items()
    return ", ".join(f"{mean:.3g} ({width} units)" for width, mean in means)


def _too_few(text: str, table: DataFrame) -> Claim:
    told = f"{table.shape[1]} widths with a value in every seed; {FEWEST_WIDTHS} are needed."
    return Claim(text, SOURCE, UNCLEAR, told, int(table.size), FEWEST)
