"""Max sharpness against reference values, closed forms, L-BFGS-B and a search of all corners."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import Tensor, nn

from gsnr_sweep.data.samples import Samples
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.losses.loss import CROSS_ENTROPY, SQUARED_ERROR
from gsnr_sweep.measures.complexity.sharpness import ALPHA, MaxSharpness, max_sharpness
from tests.measures.complexity.references import (
    NETWORKS,
    left_as_it_was,
    linear,
    noise_samples,
    reference,
)


def _sum_of_outputs(outputs: Tensor, targets: Tensor) -> Tensor:
    return outputs.sum(1)


# --- the maximum


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("batch_size", "starts"), [(None, 1), (16, 1), (16, 2)])
def test_references(name: str, batch_size: int | None, starts: int) -> None:
    model, samples, values = reference(name)
    best = values["max_sharpness"]["0.0005"]
    found = max_sharpness(
        model, samples, CROSS_ENTROPY, batch_size=batch_size, steps=300, starts=starts
    )
    assert 0.99 <= found.sharpness / best["best"] <= 1 + 1e-6
    assert 0.99 <= found.keskar / best["keskar_percent"] <= 1 + 1e-6
    assert found.train_loss == pytest.approx(values["loss"], rel=1e-9)


def test_a_linear_loss_is_exact() -> None:
    """Σ_i α (|w_i| + 1) |mean x_i|."""
    model, samples = linear(6), noise_samples(20, 6)
    w, x = model.weight.detach().numpy()[0], samples.x.numpy()
    expected = float((1e-3 * (abs(w) + 1) * abs(x.mean(0))).sum())
    for batch_size in (None, 5):
        found = max_sharpness(
            model, samples, _sum_of_outputs, alpha=1e-3, batch_size=batch_size, steps=300
        )
        assert found.sharpness == pytest.approx(expected, rel=1e-9)
        assert found.share_at_bound == 1
        assert found.keskar == pytest.approx(100 * expected / (1 + found.train_loss), rel=1e-9)


def _corner_search(w: np.ndarray, x: np.ndarray, y: np.ndarray, alpha: float) -> float:
    """The largest mean loss at the corners of the box of a 2-2-2 network whose fc1 has biases."""
    bound = alpha * (abs(w) + 1)
    losses = []
    for signs in itertools.product((-1, 1), repeat=len(w)):
        p = w + np.array(signs) * bound
        hidden = np.maximum(x @ p[:4].reshape(2, 2).T + p[4:6], 0)
        f = hidden @ p[6:].reshape(2, 2).T
        losses.append((np.log(np.exp(f).sum(1)) - f[range(len(y)), y]).mean())
    return max(losses)


def test_all_corners() -> None:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2, bias=False)).double().eval()
    x = noise_samples(30, 2).x
    samples = Samples(x, (x[:, 0] > x[:, 1]).long())
    w = torch.cat([p.detach().flatten() for p in model.parameters()]).numpy()
    best = _corner_search(w, x.numpy(), samples.y.numpy(), ALPHA)
    found = max_sharpness(model, samples, CROSS_ENTROPY, batch_size=None, steps=400)
    assert found.max_loss - best >= -0.01 * (best - found.train_loss)
    assert found.sharpness == pytest.approx(best - found.train_loss, rel=1e-3)


def _l_bfgs(model: nn.Module, samples: Samples, alpha: float) -> float:
    """The best of several runs of L-BFGS-B from random points of the box."""
    w = nn.utils.parameters_to_vector(model.parameters()).detach()
    bound = (alpha * (w.abs() + 1)).numpy()

    def negative(scaled: np.ndarray) -> tuple[float, np.ndarray]:
        flat = (w + torch.from_numpy(scaled * bound)).requires_grad_()
        values, place = {}, 0
        for name, p in model.named_parameters():
            values[name] = flat[place : place + p.numel()].view_as(p)
            place += p.numel()
        outputs = torch.func.functional_call(model, values, (samples.x,))
        loss = nn.functional.cross_entropy(outputs, samples.y)
        (gradient,) = torch.autograd.grad(loss, flat)
        return -float(loss.detach()) * 1e4, -gradient.numpy() * bound * 1e4

    rng = np.random.default_rng(0)
    starts = [np.zeros(len(w)), *rng.uniform(-1, 1, size=(4, len(w)))]
    runs = [
        scipy.optimize.minimize(
            negative,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=[(-1, 1)] * len(w),
            options={"ftol": 1e-14, "gtol": 1e-10},
        )
        for start in starts
    ]
    return (negative(starts[0])[0] - min(run.fun for run in runs)) / 1e4


@pytest.mark.parametrize("seed", [1, 2])
def test_l_bfgs(seed: int) -> None:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double().eval()
    samples = Samples(noise_samples(25, 4, seed=seed).x, torch.arange(25) % 3)
    expected = _l_bfgs(model, samples, ALPHA)
    exact = max_sharpness(model, samples, CROSS_ENTROPY, batch_size=None, steps=1000, starts=2)
    assert 0.999 <= exact.sharpness / expected <= 1 + 1e-6
    # Far from a minimum, gradients of eight samples often have the wrong sign.
    noisy = max_sharpness(model, samples, CROSS_ENTROPY, batch_size=8, steps=1000, starts=2)
    assert 0.9 <= noisy.sharpness / expected <= 1 + 1e-6


def test_a_larger_box_by_two_ascents() -> None:
    """At α = 0.05 there are local maxima: several solvers together still beat one ascent."""
    model, samples, values = reference("mlp")
    found = max_sharpness(
        model, samples, CROSS_ENTROPY, alpha=0.05, batch_size=None, steps=400, starts=2
    )
    best = values["max_sharpness"]["0.05"]["best"]
    assert 0.99 <= found.sharpness / best <= 1 + 1e-3


# --- what it promises


@pytest.mark.parametrize("starts", [1, 2])
def test_the_perturbation_lies_in_the_box_and_gives_the_loss(starts: int) -> None:
    model, samples, _ = reference("conv")
    found = max_sharpness(model, samples, CROSS_ENTROPY, steps=50, batch_size=8, starts=starts)
    w = nn.utils.parameters_to_vector(model.parameters()).detach()
    bound = 5e-4 * (w.abs() + 1)
    assert bool((found.perturbation.abs() <= bound).all())
    assert found.share_at_bound == float((found.perturbation.abs() == bound).double().mean())
    nn.utils.vector_to_parameters(w + found.perturbation, model.parameters())
    loss = nn.functional.cross_entropy(model(samples.x), samples.y)
    assert float(loss.detach()) == pytest.approx(found.max_loss, rel=1e-12)


def test_small_gradients_need_the_second_ascent() -> None:
    """With gradients of 1e-9 the first ascent hardly moves; signs know no size."""
    model, samples = linear(6), noise_samples(20, 6)

    def tiny(outputs: Tensor, targets: Tensor) -> Tensor:
        return 1e-9 * outputs.sum(1)

    full = max_sharpness(model, samples, tiny, batch_size=None, steps=100, starts=2)
    slow = max_sharpness(model, samples, tiny, batch_size=None, steps=100)
    bound = 5e-4 * (model.weight.detach().numpy()[0] ** 2) ** 0.5 + 5e-4
    expected = 1e-9 * float((bound * abs(samples.x.numpy().mean(0))).sum())
    assert full.sharpness == pytest.approx(expected, rel=1e-6)
    assert full.share_at_bound == 1
    assert slow.share_at_bound == 0
    assert 0 < slow.sharpness < 0.01 * expected


def test_never_negative() -> None:
    """At a maximum of the loss, gradients of mini-batches lead down from it."""
    samples = noise_samples(40, 3)
    model = linear(3)
    best = np.linalg.lstsq(samples.x.numpy(), samples.y.numpy(), rcond=None)[0]
    model.weight.data = torch.from_numpy(best.T)
    found = max_sharpness(
        model, samples, lambda f, y: -SQUARED_ERROR(f, y), steps=60, batch_size=2, starts=2
    )
    assert found.sharpness == 0
    assert torch.equal(found.perturbation, torch.zeros(3, dtype=torch.float64))
    assert found.share_at_bound == 0


def _run(**settings: Any) -> MaxSharpness:
    model, samples, _ = reference("mlp")
    given = {"steps": 30, "batch_size": 8, "starts": 2, "checkpoints": 5, **settings}
    return max_sharpness(model, samples, CROSS_ENTROPY, **given)


def test_the_seed_decides() -> None:
    first, again, other = (_run(seed=seed, lr=1e-4, starts=1) for seed in (5, 5, 6))
    assert first.max_loss == again.max_loss
    assert torch.equal(first.perturbation, again.perturbation)
    assert not torch.equal(first.perturbation, other.perturbation)


def test_chunks_make_no_difference() -> None:
    whole, parts = _run(chunk_size=1000), _run(chunk_size=3)
    assert parts.sharpness == pytest.approx(whole.sharpness, rel=1e-9)


def test_more_starts_and_checkpoints_never_find_less() -> None:
    assert _run(starts=2).max_loss >= _run(starts=1).max_loss
    assert _run(checkpoints=30).max_loss >= _run(checkpoints=1).max_loss


def test_float32() -> None:
    model, samples, _ = reference("mlp")
    found = max_sharpness(model.float(), samples, CROSS_ENTROPY, batch_size=None, steps=300)
    assert found.perturbation.dtype is torch.float32
    assert found.sharpness == pytest.approx(0.001986146, rel=1e-2)


def test_scaled_network_same_function_other_sharpness() -> None:
    """Rescaling neighbouring layers keeps f and changes max sharpness: it is no invariant."""
    model, samples, _ = reference("mlp")
    before = max_sharpness(model, samples, CROSS_ENTROPY, batch_size=None, steps=300)
    model[0].weight.data *= 10
    model[2].weight.data /= 10
    after = max_sharpness(model, samples, CROSS_ENTROPY, batch_size=None, steps=300)
    assert after.train_loss == pytest.approx(before.train_loss, rel=1e-12)
    assert abs(math.log(after.sharpness / before.sharpness)) > 0.1


def test_renumbered_units_change_nothing() -> None:
    model, samples, _ = reference("mlp")
    before = max_sharpness(model, samples, CROSS_ENTROPY, batch_size=None, steps=200)
    order = torch.tensor([3, 0, 4, 1, 2])
    model[0].weight.data = model[0].weight.data[order]
    model[2].weight.data = model[2].weight.data[:, order]
    after = max_sharpness(model, samples, CROSS_ENTROPY, batch_size=None, steps=200)
    assert after.sharpness == pytest.approx(before.sharpness, rel=1e-8)


def test_only_trained_parameters_move() -> None:
    model, samples = nn.Sequential(linear(3, 2), linear(2)).eval(), noise_samples(10, 3)
    model[0].weight.requires_grad_(False)
    found = max_sharpness(model, samples, _sum_of_outputs, batch_size=None, steps=200)
    hidden = (samples.x @ model[0].weight.T).numpy()
    bound = 5e-4 * (abs(model[1].weight.detach().numpy()[0]) + 1)
    assert found.perturbation.shape == (2,)
    assert found.sharpness == pytest.approx(float(bound @ abs(hidden.mean(0))), rel=1e-9)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_gradients_around_it(mode: Any) -> None:
    expected = _run()
    with mode():
        assert _run().max_loss == expected.max_loss


def test_progress() -> None:
    seen: list[tuple[int, int]] = []
    _run(on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(step, 60) for step in range(1, 61)]


def test_the_network_is_left_as_it_was() -> None:
    model, samples, _ = reference("conv")
    with left_as_it_was(model):
        max_sharpness(model, samples, CROSS_ENTROPY, steps=20, batch_size=8, starts=2)


# --- what is refused


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"alpha": 0.0}, "alpha=0.0: give a finite number above 0"),
        ({"alpha": -1.0}, "alpha=-1.0"),
        ({"alpha": math.nan}, "alpha=nan"),
        ({"lr": 0.0}, "lr=0.0"),
        ({"momentum": 1.0}, r"momentum=1.0: give a number from 0 to below 1"),
        ({"steps": 0}, "steps=0"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"starts": 3}, "starts=3"),
        ({"checkpoints": 0}, "checkpoints=0"),
        ({"checkpoints": 31}, "checkpoints=31: give a whole number from 1 to steps=30"),
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(GsnrError, match=said):
        _run(**settings)


def test_losses_that_are_not_finite() -> None:
    model, samples = linear(3), noise_samples(10, 3)
    at_w = float(model(samples.x).detach().mean())

    def with_a_wall(outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs[:, 0] + torch.where(outputs.mean() > at_w + 1e-3, torch.inf, 0.0)

    said = r"gradient ascent the loss is inf, in a box of alpha=0.1"
    with left_as_it_was(model), pytest.raises(GsnrError, match=said):
        max_sharpness(model, samples, with_a_wall, alpha=0.1, batch_size=None, steps=50)
    with pytest.raises(GsnrError, match="is nan before any perturbation"):
        max_sharpness(model, samples, lambda f, _: f[:, 0] * torch.nan)
