"""Intervals over seeds against loops over resampled seeds, and how often they hold the truth."""

import math

import numpy as np
import pytest
from scipy import stats

from gsnr_sweep.analysis.over_seeds import DRAWS, OverSeeds, mean_over_seeds
from gsnr_sweep.analysis.seeds import Resamples

S, K = 5, 6
RNG = np.random.default_rng(8)
SEEDS = np.tile(np.arange(S), K)
BASE = np.repeat(np.linspace(0.2, 0.9, K), S)
X = BASE + 0.1 * RNG.normal(size=S)[SEEDS] + 0.05 * RNG.normal(size=S * K)
Y = BASE + 0.1 * RNG.normal(size=S)[SEEDS] + 0.05 * RNG.normal(size=S * K)
T4 = 2.7764451051977987


def resampled(statistic) -> tuple[float, float]:
    """The value and Student's half width, each resample written out with its repeated points."""
    values = []
    for counts in Resamples(S, DRAWS).counts[1:].astype(int):
        chosen = np.concatenate([np.flatnonzero(s == SEEDS) for s in np.repeat(range(S), counts)])
        values.append(statistic(X[chosen], Y[chosen]))
    return statistic(X, Y), T4 * np.std(values, ddof=1) * math.sqrt(S / (S - 1))


@pytest.mark.parametrize(
    ("name", "statistic"),
    [
        ("pearson", lambda x, y: np.arctanh(stats.pearsonr(x, y).statistic)),
        ("spearman", lambda x, y: np.arctanh(stats.spearmanr(x, y).statistic)),
        ("slope", lambda x, y: np.polyfit(x, y, 1)[0]),
        ("intercept", lambda x, y: np.polyfit(x, y, 1)[1]),
    ],
)
def test_whole_seeds_are_resampled(name, statistic) -> None:
    value, half = resampled(statistic)
    found = getattr(OverSeeds(SEEDS, X, Y), name)()
    ends = (value, value - half, value + half)
    if name in ("pearson", "spearman"):
        ends = tuple(np.tanh(ends))
    else:
        assert found.se == pytest.approx(half / T4)
    assert (found.value, found.low, found.high) == pytest.approx(ends, rel=1e-9)


def test_with_equal_errors_the_interval_of_demings_line_is_that_of_the_main_axis() -> None:
    def main_axis(x, y) -> float:
        _, axes = np.linalg.eigh(np.cov(x, y))
        return axes[1, 1] / axes[0, 1]

    value, half = resampled(main_axis)
    same, none = np.full(S * K, 0.01), np.zeros(S * K)
    found = OverSeeds(SEEDS, X, Y).deming(same, none, same)
    assert (found.value, found.low, found.high) == pytest.approx(
        (value, value - half, value + half)
    )


def test_a_mean_is_judged_by_the_seeds_means() -> None:
    difference = Y - X
    means = np.array([difference[s == SEEDS].mean() for s in range(S)])
    half = T4 * means.std(ddof=1) / math.sqrt(S)
    found, p = mean_over_seeds(SEEDS, difference)
    expected = (means.mean(), means.mean() - half, means.mean() + half)
    assert (found.value, found.low, found.high) == pytest.approx(expected)
    t = means.mean() / (means.std(ddof=1) / math.sqrt(S))
    assert p == pytest.approx(2 * stats.t.sf(abs(t), S - 1))


@pytest.mark.parametrize("seeds", [np.zeros(4, dtype=int), np.array([0, 0, 1, 1])])
def test_one_seed_or_seeds_that_are_all_alike_have_no_interval(seeds) -> None:
    found, p = mean_over_seeds(seeds, np.full(4, 0.25))
    assert found.value == 0.25
    assert [math.isnan(each) for each in (found.low, found.high, p)] == [True] * 3
