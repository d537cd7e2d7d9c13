"""Means over seeds: their intervals against SciPy's, their coverage, and too few of them."""

import math

import numpy as np
import pytest
from pandas import DataFrame, Series
from scipy import stats

from gsnr_sweep.papers.neyshabur2017.claims.over_seeds import (
    by_seed,
    judge_groups,
    seed_mean,
    sentence,
)
from gsnr_sweep.papers.neyshabur2017.networks import trained_networks
from tests.papers.neyshabur2017 import made_up
from tests.tables import make_analysis


@pytest.mark.parametrize("count", [2, 3, 5, 20])
def test_the_interval_is_students(count: int) -> None:
    values = np.random.default_rng(count).normal(2.0, 3.0, count)
    found = seed_mean(Series(values))
    low, high = stats.t.interval(0.95, count - 1, values.mean(), stats.sem(values))
    assert (found.seeds, found.mean) == (count, pytest.approx(values.mean()))
    assert (found.low, found.high) == pytest.approx((low, high))


def test_it_covers_the_mean_in_95_of_100_cases() -> None:
    """Of 4000 samples the share is within ±0.01, three standard errors, of 0.95."""
    samples = np.random.default_rng(0).normal(0.0, 1.0, (4000, 3))
    found = [seed_mean(Series(sample)) for sample in samples]
    outside = np.mean([mean.is_above or mean.is_below for mean in found])
    assert outside == pytest.approx(0.05, abs=0.0104)


def test_one_seed_tells_nothing() -> None:
    one = seed_mean(Series([5.0, math.nan, math.inf]))
    assert (one.seeds, one.mean, one.is_above, one.is_below) == (1, 5.0, False, False)
    assert str(one) == "+5"
    assert str(seed_mean(Series([], dtype=float))) == "no value"


def test_values_without_spread_are_told_from_0() -> None:
    assert seed_mean(Series([0.5, 0.5])).is_above
    assert seed_mean(Series([-0.5, -0.5])).is_below
    nothing = seed_mean(Series([0.0, 0.0]))
    assert not nothing.is_above
    assert not nothing.is_below


def test_a_table_by_seed_knows_finite_values_only() -> None:
    frame = DataFrame(
        {"seed": [0, 0, 1, 1], "n": [1, 2, 1, 2], "value": [1.0, math.inf, 3.0, math.nan]}
    )
    table = by_seed(frame, "value", "n")
    assert table.to_dict() == {1: {0: 1.0, 1: 3.0}}
    assert by_seed(frame, "other", "n").empty
    assert by_seed(frame, "value", "ch").empty


def test_what_else_was_swept_is_judged_for_itself() -> None:
    analysis = make_analysis(*made_up.labels(lr=0.01), *made_up.labels(lr=0.1))
    groups: list[tuple[int, str]] = []

    def note(own: DataFrame, about: str) -> list:
        groups.append((len(own), about))
        return []

    judge_groups(analysis, trained_networks(analysis), ("n", "p_random"), note)
    assert groups == [(24, "lr = 0.01: "), (24, "lr = 0.1: ")]


def test_a_sentence_begins_with_what_it_is_about_or_a_capital() -> None:
    assert sentence("", "the norm rises.") == "The norm rises."
    assert sentence("lr = 1: ", "the norm rises.") == "lr = 1: the norm rises."
