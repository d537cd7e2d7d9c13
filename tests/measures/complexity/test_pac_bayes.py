"""Expected sharpness, KL and the bound against reference values and closed forms."""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gsnr_sweep.data.samples import Samples
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.losses.loss import CROSS_ENTROPY, SQUARED_ERROR
from gsnr_sweep.measures.complexity.pac_bayes import (
    ALPHAS,
    expected_sharpness,
    kl,
    kl_at_sharpness,
    pac_bayes_bound,
    smallest_bound,
)
from tests.measures.complexity.references import (
    NETWORKS,
    left_as_it_was,
    linear,
    noise_samples,
    reference,
)

GRID = (0.01, 0.05, 0.1)


def _reference_noise(size: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(7).standard_normal((200, size)))


def _squared_error_excess(model: nn.Linear, samples: Samples, alpha: float) -> float:
    """E_ν of the squared error of a linear map minus its own: Σ_ki σ_ki² mean_n x_ni²."""
    sigma = alpha * (10 * abs(model.weight.detach().numpy()) + 1)
    return float((sigma**2 @ (samples.x.numpy() ** 2).mean(0)).sum())


# --- expected sharpness


@pytest.mark.parametrize("name", NETWORKS)
def test_references(name: str) -> None:
    model, samples, values = reference(name)
    size = len(values["parameters"])
    found = expected_sharpness(
        model, samples, CROSS_ENTROPY, GRID, draws=200, noise=_reference_noise(size), chunk_size=17
    )
    kls = kl(model, GRID)
    bounds = pac_bayes_bound(found.train_loss, found.mean, kls, m=40, delta=0.05)
    assert found.alphas.tolist() == list(GRID)
    for k, expected in enumerate(values["expected_sharpness"].values()):
        losses = found.differences[:5, k] + found.train_loss
        assert losses.tolist() == pytest.approx(expected["first_losses"], rel=1e-9)
        assert float(found.mean[k]) == pytest.approx(expected["mean"], rel=1e-9)
        assert float(found.standard_error[k]) == pytest.approx(expected["stderr"], rel=1e-9)
        assert float(kls[k]) == pytest.approx(expected["kl_half"], rel=1e-9)
        assert float(bounds[k]) == pytest.approx(expected["bound_delta005"], rel=1e-9)


def test_the_standard_deviation_is_not_the_variance() -> None:
    """The truth is known for a squared error; at its minimum 4000 draws find it to 2 %."""
    model, samples = linear(5, 2), noise_samples(20, 5, 2)
    samples = Samples(samples.x, model(samples.x).detach())
    found = expected_sharpness(model, samples, SQUARED_ERROR, (0.01, 0.1), draws=4000)
    for k, alpha in enumerate((0.01, 0.1)):
        error = float(found.mean[k]) - _squared_error_excess(model, samples, alpha)
        assert abs(error) < 4 * float(found.standard_error[k])
        assert float(found.standard_error[k]) < 0.02 * _squared_error_excess(model, samples, alpha)


@pytest.mark.parametrize("batch_size", [None, 4])
def test_the_error_bar_covers_the_truth(batch_size: int | None) -> None:
    """Mean ± 2 standard errors over 50 draws hold the truth in about 95 % of 200 estimates."""
    model, samples = linear(8, 2), noise_samples(12, 8, 2)
    truth = _squared_error_excess(model, samples, 0.05)
    covered = 0
    for seed in range(200):
        found = expected_sharpness(
            model, samples, SQUARED_ERROR, (0.05,), draws=50, batch_size=batch_size, seed=seed
        )
        covered += abs(float(found.mean) - truth) <= 2 * float(found.standard_error)
    assert 0.9 <= covered / 200 <= 0.99


def test_draws_are_the_same_at_every_alpha() -> None:
    model, samples, _ = reference("mlp")
    settings = {"draws": 4, "batch_size": 7, "seed": 3}
    together = expected_sharpness(model, samples, CROSS_ENTROPY, GRID, **settings)
    for k, alpha in enumerate(GRID):
        alone = expected_sharpness(model, samples, CROSS_ENTROPY, (alpha,), **settings)
        assert torch.equal(alone.differences[:, 0], together.differences[:, k])


def test_a_linear_loss_shows_the_noise() -> None:
    """Its difference is Σ_i α (10 |w_i| + 1) z_i mean x_i, exactly proportional to α."""
    model, samples = linear(3), noise_samples(9, 3)
    w, x = model.weight.detach().numpy()[0], samples.x.numpy()
    noise = np.random.default_rng(1).normal(size=(5, 3))
    found = expected_sharpness(
        model, samples, lambda f, _: f[:, 0], GRID, draws=5, noise=torch.from_numpy(noise)
    )
    expected = np.outer(((10 * abs(w) + 1) * noise) @ x.mean(0), GRID)
    np.testing.assert_allclose(found.differences.numpy(), expected, rtol=1e-9)


def test_a_mini_batch_is_compared_with_itself() -> None:
    """Samples that differ among themselves but not with w cost nothing."""
    model, samples = linear(3), noise_samples(50, 3)
    found = expected_sharpness(
        model, samples, lambda f, y: 0 * f[:, 0] + y[:, 0], GRID, draws=3, batch_size=5
    )
    assert float(found.differences.abs().max()) < 1e-15
    assert found.train_loss == pytest.approx(float(samples.y.mean()), rel=1e-12)


def test_mini_batches_estimate_the_same() -> None:
    model, samples, _ = reference("mlp")
    whole, parts = (
        expected_sharpness(model, samples, CROSS_ENTROPY, (0.01,), draws=600, batch_size=size)
        for size in (None, 8)
    )
    error = math.hypot(float(whole.standard_error), float(parts.standard_error))
    assert abs(float(whole.mean - parts.mean)) < 3 * error
    assert float(parts.standard_error) > float(whole.standard_error)


def test_the_seed_decides() -> None:
    model, samples, _ = reference("mlp")
    first, again, other = (
        expected_sharpness(model, samples, CROSS_ENTROPY, GRID, draws=3, batch_size=7, seed=seed)
        for seed in (1, 1, 2)
    )
    assert torch.equal(first.differences, again.differences)
    assert not torch.equal(first.differences, other.differences)


def test_float32() -> None:
    model, samples, values = reference("mlp")
    found = expected_sharpness(
        model.float(), samples, CROSS_ENTROPY, GRID, draws=200, noise=_reference_noise(52)
    )
    expected = [v["mean"] for v in values["expected_sharpness"].values()]
    assert found.mean.tolist() == pytest.approx(expected, rel=1e-4)
    assert found.mean.dtype is torch.float64


def test_only_trained_parameters_are_perturbed() -> None:
    model, samples = nn.Sequential(linear(3, 2), linear(2)).eval(), noise_samples(10, 3)
    model[0].weight.requires_grad_(False)
    hidden = Samples((samples.x @ model[0].weight.T).detach(), samples.y)
    settings: dict[str, Any] = {"draws": 3, "noise": torch.eye(3, 2).double()}
    whole = expected_sharpness(model, samples, SQUARED_ERROR, GRID, **settings)
    last = expected_sharpness(model[1], hidden, SQUARED_ERROR, GRID, **settings)
    torch.testing.assert_close(whole.differences, last.differences)
    assert torch.equal(kl(model, GRID), kl(model[1], GRID))


def test_an_overflow_is_not_hidden() -> None:
    model, samples = linear(3), noise_samples(10, 3)
    found = expected_sharpness(
        model, samples, lambda f, _: f[:, 0].exp(), (1e-3, 1e6), draws=5, chunk_size=4
    )
    assert math.isfinite(float(found.mean[0]))
    assert not math.isfinite(float(found.mean[1]))


def test_progress_and_a_network_left_as_it_was() -> None:
    model, samples, _ = reference("conv")
    seen: list[tuple[int, int]] = []
    with left_as_it_was(model):
        expected_sharpness(
            *(model, samples, CROSS_ENTROPY, GRID),
            draws=2,
            batch_size=5,
            on_progress=lambda done, total: seen.append((done, total)),
        )
    assert seen == [(done, 6) for done in range(1, 7)]


def test_noise_is_drawn_one_vector_at_a_time() -> None:
    alive = [0]

    def noise() -> Iterator[Tensor]:
        for _ in range(3):
            alive[0] += 1
            yield torch.zeros(3, dtype=torch.float64)

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        seen.append(alive[0])
        return outputs[:, 0]

    seen: list[int] = []
    expected_sharpness(linear(3), noise_samples(4, 3), loss, GRID, draws=3, noise=noise())
    assert seen == [0, 1, 1, 1, 2, 2, 2, 3, 3, 3]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"alphas": (0.1, 0.0)}, "alphas has 0 in it. Give finite numbers above 0"),
        ({"alphas": (-0.1,)}, r"alphas has -0\.1"),
        ({"alphas": (math.nan,)}, "alphas has nan"),
        ({"alphas": ()}, r"alphas has the shape \(0,\)"),
        ({"draws": 1}, "draws=1: give at least 2"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"noise": torch.zeros(2, 3)}, "noise ends after 2 vectors; draws=4"),
        ({"noise": torch.zeros(4, 2)}, r"shape \(2,\).*3 trained parameters"),
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], said: str) -> None:
    given = {"alphas": GRID, "draws": 4, **settings}
    model = linear(3)
    with left_as_it_was(model), pytest.raises(GsnrError, match=said):
        expected_sharpness(model, noise_samples(4, 3), SQUARED_ERROR, **given)


# --- KL


def test_kl_is_that_of_normal_distributions() -> None:
    model, _, values = reference("conv")
    w = torch.tensor(values["parameters"], dtype=torch.float64)
    for alpha, found in zip(GRID, kl(model, torch.tensor(GRID, dtype=torch.float64)), strict=True):
        sigma = alpha * (10 * w.abs() + 1)
        posterior = torch.distributions.Normal(w, sigma)
        prior = torch.distributions.Normal(torch.zeros_like(w), sigma)
        expected = torch.distributions.kl_divergence(posterior, prior).sum()
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=0)


def test_kl_of_the_default_grid() -> None:
    """KL falls as 1/α²: by 1.05² = 1.1025 from one α to the next, as in the paper's figures."""
    found = kl(linear(4).float())
    assert len(found) == len(ALPHAS) == 71
    assert ALPHAS[0] == 1e-3
    np.testing.assert_allclose((found[:-1] / found[1:]).numpy(), 1.1025, rtol=1e-12)


def test_kl_without_parameters() -> None:
    with pytest.raises(GsnrError, match="nothing to perturb"):
        kl(nn.ReLU(), GRID)


# --- KL at a level of expected sharpness


def test_power_laws_are_interpolated_exactly() -> None:
    """Sharpness 30 α^1.7 and KL 4 / α² on a grid of ratio 2."""
    alphas = 1e-3 * 2 ** np.arange(9.0)
    crossing = (0.05 / 30) ** (1 / 1.7)
    found = kl_at_sharpness(alphas.tolist(), (30 * alphas**1.7).tolist(), (4 / alphas**2).tolist())
    assert found.alpha == pytest.approx(crossing, rel=1e-12)
    assert found.kl == pytest.approx(4 / crossing**2, rel=1e-12)
    assert found.reason == ""


def test_monotone_curves_are_those_of_numpy() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        alphas = 1e-3 * 1.3 ** np.arange(12.0)
        sharpness = np.cumprod(rng.uniform(1.05, 3, size=12)) * 1e-3
        kls = np.cumprod(rng.uniform(0.3, 0.9, size=12)) * 1e6
        level = float(np.sqrt(sharpness[0] * sharpness[-1]))
        found = kl_at_sharpness(*(torch.from_numpy(v) for v in (alphas, sharpness, kls)), level)
        for value, curve in ((found.kl, kls), (found.alpha, alphas)):
            expected = np.exp(np.interp(np.log(level), np.log(sharpness), np.log(curve)))
            assert value == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("sharpness", "alpha", "kl_value"),
    [
        ([0.025, 0.1, 0.025, 0.1], math.sqrt(2), 400 / math.sqrt(10)),  # the first of two
        ([-0.01, 0.0, 0.025, 0.1], 4 * math.sqrt(2), 4 / math.sqrt(10)),  # not positive before it
        ([0.02, 0.05, 0.01, 0.9], 2, 40),  # on the grid
        ([0.05, 0.1, 0.2, 0.4], 1, 400),  # on the grid's first point
        ([0.025, 0.1, math.nan, math.inf], math.sqrt(2), 400 / math.sqrt(10)),  # an overflow beyond
    ],
)
def test_which_crossing_counts(sharpness: list[float], alpha: float, kl_value: float) -> None:
    found = kl_at_sharpness([1, 2, 4, 8], sharpness, [400, 40, 4, 0.4])
    assert found.alpha == pytest.approx(alpha, rel=1e-12)
    assert found.kl == pytest.approx(kl_value, rel=1e-12)
    assert found.reason == ""


@pytest.mark.parametrize(
    ("sharpness", "said"),
    [
        ([0.01, 0.02, 0.03], "stays below 0.05 up to the largest alpha, 4. Add larger"),
        ([0.06, 0.07, 0.08], "0.06 at the smallest alpha, 1, already above 0.05. Add smaller"),
        ([0.06, 0.01, 0.08], "already above"),
        ([0.01, math.nan, 0.08], "alpha=2 is NaN"),
        ([0.01, math.inf, 0.08], "from 0.01 to inf"),
        ([-0.01, 0.06, 0.08], "between alpha=1 and 2.*from -0.01 to 0.06.*finer grid"),
    ],
)
def test_why_there_is_no_crossing(sharpness: list[float], said: str) -> None:
    found = kl_at_sharpness([1, 2, 4], sharpness, [400, 40, 4])
    assert math.isnan(found.kl)
    assert math.isnan(found.alpha)
    assert re.search(said, found.reason), found.reason


def test_a_kl_of_zero_has_no_logarithm() -> None:
    found = kl_at_sharpness([1, 2], [0.01, 0.1], [0, 0])
    assert math.isnan(found.kl)
    assert "KL from 0 to 0" in found.reason


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: kl_at_sharpness([1, 2], [1, 2, 3], [1, 2]), r"2 alphas.*shape \(3,\)"),
        (lambda: kl_at_sharpness([2, 1], [1, 2], [1, 2]), "do not increase"),
        (lambda: kl_at_sharpness([1, 2], [1, 2], [1, 2], level=0), "level=0"),
        (lambda: pac_bayes_bound(0.1, 0.1, 1, m=0), "m=0"),
        (lambda: pac_bayes_bound(0.1, 0.1, 1, m=10, delta=1), "delta=1"),
        (lambda: pac_bayes_bound(0.1, 0.1, -1, m=10), "KL divergence is -1"),
        (lambda: smallest_bound([1, 2], torch.ones(3)), r"2 alphas and bounds of shape \(3,\)"),
    ],
)
def test_what_is_refused(call: Callable[[], Any], said: str) -> None:
    with pytest.raises(GsnrError, match=said):
        call()


# --- the bound


def test_bound_of_plain_numbers() -> None:
    expected = 0.2 + 0.03 + 4 * math.sqrt((50 + math.log(2 * 1000 / 0.1)) / 1000)
    found = pac_bayes_bound(0.2, 0.03, 50, m=1000, delta=0.1)
    assert float(found) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("bounds", "place"),
    [
        ([3.0, 1.0, 2.0], 1),
        ([math.nan, 3.0, 2.0], 2),
        ([1.0, math.inf, -math.inf], 0),
    ],
)
def test_smallest_bound(bounds: Sequence[float], place: int) -> None:
    found = smallest_bound([0.1, 0.2, 0.4], torch.tensor(bounds, dtype=torch.float64))
    assert (found.alpha, found.bound) == ([0.1, 0.2, 0.4][place], bounds[place])


def test_no_bound_is_finite() -> None:
    found = smallest_bound([0.1, 0.2], torch.tensor([math.nan, math.inf]))
    assert math.isnan(found.alpha)
    assert math.isnan(found.bound)


def test_the_smallest_bound_weighs_noise_against_kl() -> None:
    """Small α: KL is large; large α: sharpness is. The reference's smallest of three is 8.64."""
    model, samples, values = reference("mlp")
    found = expected_sharpness(
        model, samples, CROSS_ENTROPY, GRID, draws=200, noise=_reference_noise(52)
    )
    bounds = pac_bayes_bound(found.train_loss, found.mean, kl(model, GRID), m=40)
    best = smallest_bound(GRID, bounds)
    expected = [v["bound_delta005"] for v in values["expected_sharpness"].values()]
    assert best.alpha == 0.05
    assert best.bound == pytest.approx(min(expected), rel=1e-9)
