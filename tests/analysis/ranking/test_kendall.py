"""Kendall's τ and granulated ψ against the reference values, SciPy and loops over pairs."""

import math
from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from gsnr_sweep.analysis.ranking.kendall import granulated, kendall_tau
from gsnr_sweep.analysis.ranking.networks import Networks, Vector
from gsnr_sweep.analysis.seeds import Resamples
from tests.analysis.ranking.made_up import AXES, REFERENCE, agreement, grid, reference

ONCE = Resamples(1)


def sign(value: float) -> int:
    return int(value > 0) - int(value < 0)


def brute_tau(measure: Vector, target: Vector) -> float:
    pairs = list(permutations(range(len(target)), 2))
    return sum(sign(measure[i] - measure[j]) * sign(target[i] - target[j]) for i, j in pairs) / len(
        pairs
    )


def test_reference_values() -> None:
    networks, measure = reference()
    agreeing = agreement(networks, measure)
    tau = kendall_tau(networks, agreeing, ONCE)
    psi = granulated(networks, agreeing, ONCE)[:, 0]
    assert tau[0] == pytest.approx(REFERENCE["kendall_tau"], rel=1e-12)
    np.testing.assert_allclose(psi, REFERENCE["granulated_psi"], atol=1e-12)
    assert psi.mean() == pytest.approx(REFERENCE["granulated_Psi"], rel=1e-12)


def test_tau_without_ties_is_scipys() -> None:
    networks, measure = grid(3)
    tau = kendall_tau(networks, agreement(networks, measure), Resamples(3, 0))[0]
    assert tau == pytest.approx(stats.kendalltau(measure, networks.target).statistic, rel=1e-12)


def test_ties_count_as_neither() -> None:
    networks, measure = grid(1)
    measure = np.round(measure)
    tau = kendall_tau(networks, agreement(networks, measure), ONCE)[0]
    assert len(np.unique(measure)) < len(measure)
    assert tau == pytest.approx(brute_tau(measure, networks.target), rel=1e-12)


def test_psi_is_the_mean_over_groups_of_one_seed() -> None:
    networks, measure = grid(2)
    found = granulated(networks, agreement(networks, measure), Resamples(2, 0))[:, 0]
    for place in range(len(AXES)):
        others = [k for k in range(len(AXES)) if k != place]
        group = networks.setting(others, with_seed=True)
        taus = [
            brute_tau(measure[group == g], networks.target[group == g]) for g in np.unique(group)
        ]
        assert found[place] == pytest.approx(np.mean(taus), rel=1e-12)


def test_a_resample_is_the_statistic_of_its_networks() -> None:
    """Counts of seeds as weights give what doubling their networks would."""
    networks, measure = grid(3)
    resamples = Resamples(3, 20)
    agreeing = agreement(networks, measure)
    tau, psi = kendall_tau(networks, agreeing, resamples), granulated(networks, agreeing, resamples)
    for row, counts in enumerate(resamples.counts):
        drawn = [i for i, s in enumerate(networks.seeds) for _ in range(int(counts[s]))]
        pairs = [
            (i, j)
            for a, i in enumerate(drawn)
            for b, j in enumerate(drawn)
            if a != b and i != j  # a network is never compared with its own copy
        ]
        expected = sum(int(agreeing[i, j]) for i, j in pairs) / len(pairs)
        assert tau[row] == pytest.approx(expected, rel=1e-12)
        alone = [
            granulated(
                networks.where(networks.seeds == s),
                agreeing[networks.seeds == s][:, networks.seeds == s],
                Resamples(3, 0),
            )[:, 0]
            for s in range(3)
        ]
        np.testing.assert_allclose(psi[:, row], np.average(alone, axis=0, weights=counts))


def test_an_axis_without_pairs_has_no_psi() -> None:
    networks, measure = grid(1)
    chosen = networks.axes[0].codes == networks.axes[2].codes
    part = networks.where(chosen)
    psi = granulated(part, agreement(part, measure[chosen]), ONCE)[:, 0]
    assert math.isnan(psi[0])
    assert math.isnan(psi[2])
    assert math.isfinite(psi[1])


def test_n_seeds_stays_with_a_part() -> None:
    networks, _ = grid(3)
    assert networks.where(networks.seeds == 0).n_seeds == 3
    assert isinstance(networks, Networks)
