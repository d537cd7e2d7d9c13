"""The closed form against gradient descent sample by sample, and when there is none."""

import copy
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import nn

from gsnr_sweep.data.samples import Samples
from gsnr_sweep.data.sampling import RunSets
from gsnr_sweep.measures import requirements_of
from gsnr_sweep.measures.linear_regression import Regression, linear_regression
from gsnr_sweep.measures.undefined import reason_of
from gsnr_sweep.training.ensemble import Ensemble
from tests.measures.networks import CLASSES, CPU, config_of, mlp, sets_of

ERRORS = ("loss_error", "gradient_error", "gsnr_error")


def _frozen(model: nn.Module, names: Sequence[str] = ("fc1.weight", "fc1.bias")) -> nn.Module:
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name not in names)
    return model


def _found(
    model: nn.Module, sets: RunSets, *overrides: str, task: str = "regression"
) -> list[dict[str, float]]:
    cfg = config_of(*overrides)
    ensemble = Ensemble(copy.deepcopy(model), sets, task, cfg.training, CPU)  # type: ignore[arg-type]
    wanted = requirements_of({"linear_regression": linear_regression})
    return [linear_regression(shot) for shot in ensemble.run(wanted=wanted)]


def _by_hand(model: nn.Module, train: Samples, lr: float, steps: int) -> tuple[float, float]:
    """Loss and mean GSNR of the last layer after gradient descent in NumPy, a sample at a time."""
    w1, b1, w2, b2 = (p.detach().numpy().copy() for p in model.parameters())
    x, y = train.x.numpy(), train.y.numpy()

    def look() -> tuple[float, np.ndarray]:
        losses, rows = [], []
        for x_i, y_i in zip(x, y, strict=True):
            hidden = np.maximum(w1 @ x_i + b1, 0)
            error = w2 @ hidden + b2 - y_i
            losses.append(float(error @ error))
            rows.append(np.concatenate([np.outer(2 * error, hidden).ravel(), 2 * error]))
        return float(np.mean(losses)), np.array(rows)

    for _ in range(steps):
        step = lr * look()[1].mean(0)
        w2 -= step[: w2.size].reshape(w2.shape)
        b2 -= step[w2.size :]
    loss, rows = look()
    alive = rows.var(0) > 1e-12 * (rows**2).mean(0)
    return loss, float((rows.mean(0)[alive] ** 2 / rows.var(0)[alive]).mean())


@pytest.mark.parametrize("targets", [1, 2])
def test_the_closed_form_is_gradient_descent_sample_by_sample(targets: int) -> None:
    sizes = ("n=12", "epochs=60", "measure_at=[0,1,7,60]", "lr=0.05")
    model, sets = _frozen(mlp(6, outputs=targets)), sets_of(config_of("n=12"), regression=targets)
    for t, values in zip((0, 1, 7, 60), _found(model, sets, *sizes), strict=True):
        by_hand = [_by_hand(model, train, 0.05, t) for train in sets.train]
        for place, name in enumerate(("loss", "gsnr")):
            expected = np.mean([one[place] for one in by_hand])
            assert values[f"linear_regression_{name}"] == pytest.approx(expected, rel=1e-9)
        assert all(values[f"linear_regression_{name}"] < 1e-8 for name in ERRORS)


@pytest.mark.parametrize(
    ("frozen", "overrides"),
    [
        (("fc1.weight", "fc1.bias", "fc2.bias"), ()),
        (("fc1.weight", "fc1.bias", "fc2.weight"), ()),
        (("fc1.weight", "fc1.bias"), ("measures.variance=unbiased", "chunk_size=3")),
    ],
)
def test_parts_of_the_last_layer_and_other_settings(
    frozen: Sequence[str], overrides: Sequence[str]
) -> None:
    sets = sets_of(config_of(), regression=2)
    model = _frozen(mlp(6, outputs=2), frozen)
    for values in _found(model, sets, "epochs=9", "measure_at=[0,9]", *overrides):
        assert all(values[f"linear_regression_{name}"] < 1e-8 for name in ERRORS)


def test_squared_error_of_labels() -> None:
    values = _found(_frozen(mlp(6)), sets_of(config_of()), "loss=mse", task="classification")[0]
    assert values["linear_regression_loss_error"] < 1e-10


def test_another_training_is_noticed() -> None:
    """Errors of a comparison that always agrees would say nothing."""
    sets, model = sets_of(config_of(), regression=1), _frozen(mlp(6, outputs=1))
    cfg = config_of("epochs=5", "measure_at=[5]")
    ensemble = Ensemble(copy.deepcopy(model), sets, "regression", cfg.training, CPU)
    for replica in ensemble.replicas:
        replica.initial = {name: 1.1 * value for name, value in replica.initial.items()}
    wanted = requirements_of({"linear_regression": linear_regression})
    (shot,) = ensemble.run(wanted=wanted)
    assert all(linear_regression(shot)[f"linear_regression_{name}"] > 1e-3 for name in ERRORS)


def test_directions_without_curvature_do_not_move() -> None:
    """More features than samples, one always zero; it ends at the nearest solution."""
    rng = np.random.default_rng(0)
    features, targets, start = (
        rng.normal(size=(5, 9)),
        rng.normal(size=(5, 2)),
        rng.normal(size=(9, 2)),
    )
    features[:, 4] = 0
    regression = Regression(*map(torch.from_numpy, (features, targets, start)))
    w = start.copy()
    for _ in range(50):
        w -= 0.1 * 2 / 5 * features.T @ (features @ w - targets)
    np.testing.assert_allclose(regression.weights(0.1, 50).numpy(), w, rtol=1e-9, atol=1e-12)
    shortest = start + np.linalg.lstsq(features, targets - features @ start, rcond=None)[0]
    end = regression.weights(0.1, 10**7)
    np.testing.assert_allclose(end.numpy(), shortest, rtol=1e-6, atol=1e-9)
    assert regression.loss(end) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("lr", [1e-9, 0.3, 5.0])
def test_small_and_too_large_learning_rates(lr: float) -> None:
    """λμ far below and above 1: the latter diverges, as it should."""
    rng = np.random.default_rng(1)
    features, targets = rng.normal(size=(20, 3)), rng.normal(size=(20, 1))
    w = start = rng.normal(size=(3, 1))
    for _ in range(6):
        w = w - lr * 2 / 20 * features.T @ (features @ w - targets)
    regression = Regression(*map(torch.from_numpy, (features, targets, start)))
    np.testing.assert_allclose(
        regression.weights(lr, 6).numpy() - start, w - start, rtol=1e-8, atol=1e-14
    )


class Scaled(nn.Module):
    """Its only trained layer is not its last operation."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 1).double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * self.fc(x)


@pytest.mark.parametrize(
    ("model", "overrides", "told"),
    [
        (
            mlp(6, outputs=1),
            (),
            "not only the last, linear layer is trained (model.frozen): fc1, fc2",
        ),
        (_frozen(mlp(6, outputs=1), ("fc2.weight", "fc2.bias")), (), "(model.frozen): fc1"),
        (Scaled(), (), "(model.frozen): fc"),
        (_frozen(mlp(6, outputs=1)), ("optim=sgd", "optim.batch_size=7"), "(optim=gd)"),
    ],
)
def test_what_is_no_linear_regression(
    model: nn.Module, overrides: Sequence[str], told: str
) -> None:
    (values,) = _found(model, sets_of(config_of(), regression=1), *overrides)
    assert len(values) == 5
    for value in values.values():
        assert reason_of(value).startswith("training is no linear regression: ")
        assert reason_of(value).endswith(told)


def test_other_losses_are_none() -> None:
    (values,) = _found(_frozen(mlp(6)), sets_of(config_of()), task="classification")
    assert "the loss is cross_entropy" in reason_of(values["linear_regression_loss"])


def test_a_single_linear_layer_is_one() -> None:
    model = nn.Sequential(OrderedDict(fc=nn.Linear(3, CLASSES).double()))
    (values,) = _found(model, sets_of(config_of()), "loss=mse", task="classification")
    assert values["linear_regression_gradient_error"] < 1e-10
