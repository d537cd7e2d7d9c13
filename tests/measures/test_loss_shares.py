"""The terms of eq. (22) against loops over the parameters."""

import math

import numpy as np
import pytest

from gsnr_sweep.measures.loss_shares import BINS, HIGHEST, LOWEST, loss_shares
from gsnr_sweep.measures.osgr_rhs import osgr_rhs
from tests.measures.snapshots import snapshot

LAYERS = {"first": range(2), "second": range(2, 9)}
DEAD, NOISE, SIGNAL = 6, 7, 8


@pytest.fixture
def gradients() -> np.ndarray:
    """[M = 4, n = 20, P = 9], with a dead parameter, one of noise only, and one of signal only."""
    rng = np.random.default_rng(2)
    made = rng.normal(0.4, 1.0, (4, 20, 9)) * np.array([1, 2, 0.5, 3, 1, 0.1, 0, 1, 1])
    made[:, :, NOISE] -= made[:, :, NOISE].mean(1, keepdims=True) - 1e-3
    made[:, :, SIGNAL] = 1 + 1e-2 * rng.normal(size=(4, 20))
    return made


def _terms(gradients: np.ndarray, ddof: int = 0) -> tuple[list[float], list[float]]:
    """W_j and x_j = 1 / (n (r_j + 1/n)) of eqs. (21), (22), one parameter after the other."""
    n_sets, n, n_parameters = gradients.shape
    powers, noises = [], []
    for j in range(n_parameters):
        means = [gradients[m, :, j].mean() for m in range(n_sets)]
        variances = [gradients[m, :, j].var(ddof=ddof) for m in range(n_sets)]
        powers.append(sum(mean**2 for mean in means) / n_sets)  # E(g²_D,j)
        noises.append(sum(variances) / n_sets)  # ρ²_j
    shares = [power / sum(powers) for power in powers]
    terms = []
    for power, noise in zip(powers, noises, strict=True):
        if not noise:
            terms.append(0.0)
            continue
        ratio = (power - noise / n) / noise  # r_j = g̃²_j / ρ²_j with g̃² = E(g²_D) − ρ²/n
        terms.append(1 / (n * (ratio + 1 / n)))
    return shares, terms


@pytest.mark.parametrize(("variance", "ddof"), [("plugin", 0), ("unbiased", 1)])
def test_shares_of_the_layers_are_the_sums_of_their_parameters(
    gradients: np.ndarray, variance: str, ddof: int
) -> None:
    shot = snapshot(gradients, variance)
    found = loss_shares(shot)
    shares, terms = _terms(gradients, ddof)
    gap = 1 - osgr_rhs(shot)["osgr_rhs"]
    for name, places in LAYERS.items():
        assert found[f"loss_share/{name}"] == pytest.approx(sum(shares[j] for j in places))
        expected = sum(shares[j] * terms[j] for j in places)
        assert found[f"gap_share/{name}"] * gap == pytest.approx(expected, rel=1e-9)
    for kind in ("loss_share", "gap_share"):
        assert sum(found[f"{kind}/{name}"] for name in LAYERS) == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize(("variance", "ddof"), [("plugin", 0), ("unbiased", 1)])
def test_weighted_terms_add_up_to_one_minus_r(
    gradients: np.ndarray, variance: str, ddof: int
) -> None:
    shares, terms = _terms(gradients, ddof)
    assert sum(shares) == pytest.approx(1, rel=1e-12)
    products = [share * term for share, term in zip(shares, terms, strict=True)]
    right = osgr_rhs(snapshot(gradients, variance))["osgr_rhs"]
    assert 1 - right == pytest.approx(sum(products), rel=1e-9)


def test_distributions_count_and_weigh_the_terms(gradients: np.ndarray) -> None:
    found = loss_shares(snapshot(gradients))
    shares, terms = _terms(gradients)
    assert terms[SIGNAL] < 1e-4  # below and above what the bins cover
    assert terms[NOISE] > 10
    counted, weighted = [0.0] * BINS, [0.0] * BINS
    for j, (share, term) in enumerate(zip(shares, terms, strict=True)):
        if j != DEAD:
            place = int((math.log10(term) - LOWEST) / (HIGHEST - LOWEST) * BINS // 1)
            counted[min(max(place, 0), BINS - 1)] += 1 / 8
            weighted[min(max(place, 0), BINS - 1)] += share
    assert found["noise_density"] == pytest.approx(counted, abs=1e-12)
    assert found["noise_density_weighted"] == pytest.approx(weighted, abs=1e-12)
    assert found["noise_density"][0] == pytest.approx(1 / 8)
    assert found["noise_density"][-1] == pytest.approx(1 / 8)


def test_a_term_of_one_lies_in_the_bin_of_its_decade() -> None:
    """x = 1 where the mean square is ρ²/n: the first bin of the last decade."""
    values = np.array([1.0 + math.sqrt(4), 1.0 - math.sqrt(4), 3.0, -1.0])  # mean 1, variance 4
    found = loss_shares(snapshot(np.tile(values[None, :, None], (2, 1, 3))))
    assert found["noise_density"] == [0.0] * 32 + [1.0] + [0.0] * 7


def test_without_any_gradient_nothing_is_shared() -> None:
    found = loss_shares(snapshot(np.zeros((2, 5, 4))))
    assert math.isnan(found["loss_share/first"])
    assert math.isnan(found["gap_share/second"])
    assert all(map(math.isnan, found["noise_density"] + found["noise_density_weighted"]))
