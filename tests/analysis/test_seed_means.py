"""Means over seeds: their intervals against SciPy's, their coverage, and too few of them."""

import math

import numpy as np
import pytest
from pandas import DataFrame, Series
from scipy import stats

from gsnr_sweep.analysis.seed_means import each_seed, seed_mean


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


def test_a_statistic_is_taken_of_each_seeds_rows() -> None:
    frame = DataFrame(
        {
            "seed": [0, 0, 1, 1, 2],
            "seed_data": [0, 0, 5, 5, 2],
            "value": [1.0, 3.0, 5.0, 9.0, math.nan],
        }
    )
    found = each_seed(frame, lambda rows: float(rows["value"].mean()))
    assert found.to_dict() == {(0, 0): 2.0, (1, 5): 7.0}
    assert list(each_seed(frame[["value"]], lambda rows: float(rows["value"].sum()))) == [18.0]
