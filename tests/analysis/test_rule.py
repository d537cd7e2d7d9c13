"""Rules of claims: when a condition is met, and how often a rule errs, against closed forms."""

import math

import numpy as np
import pytest
from pandas import Series
from scipy import stats

from gsnr_sweep.analysis.claim import FAILS, HOLDS, UNCLEAR
from gsnr_sweep.analysis.rule import Condition, error_rates, judge

VALUES = Series([1.0, 1.4, 0.9, 1.2, 1.1])


@pytest.mark.parametrize(
    ("bound", "effect", "met", "refuted"),
    [
        *[(0.5, 1.0, True, False), (1.0, 2.0, False, False), (1.5, 2.0, False, True)],
        *[(1.5, 1.0, True, False), (1.3, 0.0, False, False), (0.5, 0.0, False, True)],
    ],
)
def test_a_condition_asks_on_which_side_of_the_bound_the_interval_is(
    bound: float, effect: float, met: bool, refuted: bool
) -> None:
    """The interval of these values is [0.88, 1.36]."""
    condition = Condition(VALUES, bound, effect)
    assert (condition.is_met, condition.is_refuted) == (met, refuted)


def told(*conditions: Condition, **how: bool) -> str:
    return judge("It rises.", "mine", conditions, "By 1.", **how).verdict


def test_every_condition_must_be_met_and_one_refuted_is_enough() -> None:
    met, open_, refuted = (Condition(VALUES, bound, 9.0) for bound in (0.5, 1.0, 1.5))
    assert told(met, met) == HOLDS
    assert told(met, open_) == UNCLEAR
    assert told(met, refuted) == FAILS
    assert told(met, refuted, fails=False) == UNCLEAR
    assert told() == UNCLEAR


def test_two_seeds_are_not_enough() -> None:
    claim = judge("It rises.", "mine", [Condition(Series([5.0, 5.1]), 0.0, 1.0)], "By 5.")
    assert claim.verdict == UNCLEAR
    assert claim.evidence == "Not enough seeds: 2 of at least 3. By 5."
    assert "3 seeds" in claim.needs


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_false_positives_of_normal_seeds_are_2_5_percent(seeds: int) -> None:
    values = Series(np.random.default_rng(seeds).normal(size=seeds))
    found = error_rates([Condition(values, 0.0, 1.0)])
    assert found is not None
    assert found.false_positive == pytest.approx(0.025, abs=0.005)
    assert 0.03 < found.false_positive_skewed < 0.08


@pytest.mark.parametrize("effect", [0.5, 1.5, 3.0, -2.0])
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_false_negatives_are_those_of_the_noncentral_t(effect: float, seeds: int) -> None:
    values = Series(np.random.default_rng(seeds).normal(7.0, 1.3, seeds))
    found = error_rates([Condition(values, 0.25, effect)])
    shift = abs(effect - 0.25) / (float(values.std()) / math.sqrt(seeds))
    power = 1 - stats.nct.cdf(stats.t.ppf(0.975, seeds - 1), seeds - 1, shift)
    assert found is not None
    assert found.false_negative == pytest.approx(1 - power, abs=0.02)


def test_two_conditions_are_missed_as_their_correlation_has_it() -> None:
    """Of one and the same statistic the second asks nothing new; of independent ones it does."""
    rng = np.random.default_rng(0)
    one = Series(rng.normal(size=200))
    other = Series(rng.normal(size=200))

    def missed(*values: Series) -> float:
        found = error_rates([Condition(each, 0.0, 0.2) for each in values])
        assert found is not None
        return found.false_negative

    alone = missed(one)
    assert missed(one, one) == pytest.approx(alone, abs=0.01)
    assert missed(one, other) == pytest.approx(1 - (1 - alone) * (1 - missed(other)), abs=0.03)


def test_seeds_that_agree_miss_nothing_and_one_seed_has_no_rates() -> None:
    found = error_rates([Condition(Series([2.0, 2.0, 2.0]), 0.0, 1.0)])
    assert found is not None
    assert found.false_negative == 0.0
    assert "a mean of 1 in 0.0%" in str(found)
    assert error_rates([Condition(Series([2.0]), 0.0, 1.0)]) is None
    assert error_rates([]) is None


def test_only_seeds_with_every_value_count() -> None:
    first = Series([1.0, 2.0, 3.0], index=[0, 1, 2])
    second = Series([1.0, 2.0], index=[1, 2])
    found = error_rates([Condition(first, 0.0, 1.0), Condition(second, 0.0, 1.0)])
    assert found is not None
    assert found.seeds == 2
