"""Conditional mutual information against the reference values and a loop over pairs."""

import math
from collections import Counter, defaultdict
from itertools import permutations

import numpy as np
import pytest

from gsnr_sweep.analysis.ranking.information import information_by_condition, least_information
from gsnr_sweep.analysis.ranking.networks import Networks, Vector, signs
from gsnr_sweep.analysis.seeds import Resamples
from tests.analysis.ranking.made_up import REFERENCE, grid, reference


def found(networks: Networks, measure: Vector, draws: int = 0) -> dict[tuple[int, ...], Vector]:
    resamples = Resamples(networks.n_seeds, draws)
    return information_by_condition(networks, signs(measure), signs(networks.target), resamples)


def brute(networks: Networks, measure: Vector, chosen: tuple[int, ...]) -> float:
    """I(V_μ; V_g | U) / H(V_g | U) by counting."""
    by_u = defaultdict(Counter)
    for i, j in permutations(range(len(networks)), 2):
        u = tuple((networks.axes[k].codes[i], networks.axes[k].codes[j]) for k in chosen)
        a = np.sign(measure[i] - measure[j])
        b = np.sign(networks.target[i] - networks.target[j])
        by_u[u][a, b] += 1
    information = entropy = 0.0
    for counts in by_u.values():
        total = counts.total()
        of_a, of_b = Counter(), Counter()
        for (a, b), count in counts.items():
            of_a[a] += count / total
            of_b[b] += count / total
        for (a, b), count in counts.items():
            p = count / total
            information += p * math.log(p / (of_a[a] * of_b[b]))
        entropy -= sum(p * math.log(p) for p in of_b.values())
    return information / entropy


def test_reference_values() -> None:
    by_condition = found(*reference())
    assert {str(key) for key in by_condition} == set(REFERENCE["ic_table"])
    for key, value in by_condition.items():
        assert value[0] == pytest.approx(REFERENCE["ic_table"][str(key)], abs=1e-12)
    least = least_information(by_condition)
    assert least[0] == pytest.approx(REFERENCE["ic_K"], abs=1e-12)


def test_several_seeds_and_ties() -> None:
    networks, measure = grid(2)
    measure = np.round(measure, 1)
    for chosen, value in found(networks, measure).items():
        assert value[0] == pytest.approx(brute(networks, measure, chosen), abs=1e-12)


def test_the_target_knows_itself_and_noise_hardly_anything() -> None:
    networks, _ = grid(3)
    perfect = least_information(found(networks, networks.target))
    noise = np.random.default_rng(0).normal(size=len(networks))
    assert perfect[0] == pytest.approx(1)
    assert 0 <= least_information(found(networks, noise))[0] < 0.05


def test_a_resample_that_is_the_sweep_itself() -> None:
    networks, measure = grid(3)
    resamples = Resamples(3, 50)
    rows = np.flatnonzero((resamples.counts == 1).all(1))
    values = least_information(found(networks, measure, 50))
    assert len(rows) > 1
    np.testing.assert_allclose(values[rows], values[0])
