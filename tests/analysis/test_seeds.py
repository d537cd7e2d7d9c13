"""Intervals over seeds: what they cover, and what they say of one seed."""

import math

import numpy as np
import pytest

from gsnr_sweep.analysis.correlation import pearson, spearman
from gsnr_sweep.analysis.ranking.kendall import granulated, kendall_tau
from gsnr_sweep.analysis.ranking.networks import Networks, Vector
from gsnr_sweep.analysis.seeds import Resamples, Statistic
from tests.analysis.ranking.made_up import agreement, grid


def all_statistics(networks: Networks, measure: Vector, draws: int) -> dict[str, Statistic]:
    resamples = Resamples(networks.n_seeds, draws)
    agreeing = agreement(networks, measure)
    points = (measure, networks.target, resamples.weights(networks.seeds))
    psi = granulated(networks, agreeing, resamples).mean(0)
    return {
        "tau": resamples.statistic(kendall_tau(networks, agreeing, resamples), -1, 1),
        "Psi": resamples.statistic(psi, -1, 1),
        "pearson": resamples.correlation(pearson(*points)),
        "spearman": resamples.correlation(spearman(*points)),
    }


def test_one_seed_has_no_interval() -> None:
    for one in all_statistics(*grid(1), draws=20).values():
        assert math.isfinite(one.value)
        assert math.isnan(one.low)
        assert math.isnan(one.high)


def test_intervals_hold_their_value_and_stay_in_range() -> None:
    for one in all_statistics(*grid(3), draws=100).values():
        assert -1 <= one.low < one.value < one.high <= 1


def test_the_spread_of_a_mean_is_its_standard_error() -> None:
    """The bootstrap of a mean over S seeds, put right, is s / √S."""
    values = np.array([0.1, 0.4, 0.2, 0.7])
    resamples = Resamples(4, 20_000)
    found = resamples.statistic(resamples.counts @ values / 4)
    se = values.std(ddof=1) / 2
    assert found.value == pytest.approx(values.mean())
    assert (found.high - found.low) / 2 == pytest.approx(3.182 * se, rel=0.03)


def test_resamples_are_the_same_every_time() -> None:
    np.testing.assert_array_equal(Resamples(5, 50).counts, Resamples(5, 50).counts)
    assert (Resamples(5, 50).counts.sum(1) == 5).all()


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "least"), [(3, 0.92), (5, 0.9), (10, 0.92)])
def test_coverage(seeds: int, least: float) -> None:
    """How often an interval over few seeds holds the value of infinitely many."""
    repeats = 300
    truth = all_statistics(*grid(400, seed=1), draws=0)
    hits = dict.fromkeys(truth, 0)
    for repeat in range(repeats):
        for name, one in all_statistics(*grid(seeds, seed=2 + repeat), draws=200).items():
            hits[name] += one.low <= truth[name].value <= one.high
    assert all(least <= count / repeats <= 0.99 for count in hits.values()), hits
