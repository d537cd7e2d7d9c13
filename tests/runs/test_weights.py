"""Given weights are measured as a run measures them, and as a sum over samples says."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from gsnr_sweep.config.compose import GridPoint
from gsnr_sweep.config.schema import Config
from gsnr_sweep.data.registry import distribution
from gsnr_sweep.data.samples import Samples
from gsnr_sweep.data.sampling import draw_sets
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.preflight.check import check
from gsnr_sweep.records.weights import Weights, read_weights
from gsnr_sweep.runs.runner import run_point
from gsnr_sweep.runs.weights import measure_weights, put_weights
from tests.conftest import tiny_config

MEASURING = ("n_sets=1", "epochs=0", "measure_at=[0]")
MLP = ("data=digits", "model=mlp", "ch=5")


class Tied(nn.Module):
    """Two layers of one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)
        self.b.weight = self.a.weight


def _measured(cfg: Config, *weights: Weights) -> list[dict[str, float]]:
    return [measurement.metrics for _, measurement in measure_weights(cfg, weights)]


def _network(ch: int = 5) -> nn.Sequential:
    """The perceptron of model=mlp, written anew."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, ch), nn.ReLU(), nn.Linear(ch, 10)).double()


def test_the_numbers_are_those_of_a_sum_over_samples() -> None:
    cfg = tiny_config(*MLP, *MEASURING, "dtype=float64", "lr=0.01", "n=25", "n_test=40")
    sets = draw_sets(distribution(cfg.data), cfg.sampling)
    torch.manual_seed(3)
    network = _network()
    names = dict(zip(network.state_dict(), _names(cfg), strict=True))
    given = {names[key]: tensor.clone() for key, tensor in network.state_dict().items()}

    def loss(samples: Samples, i: int) -> torch.Tensor:
        x, y = samples.batch(i, i + 1, torch.float64)
        return cross_entropy(network(x), y)

    @torch.no_grad()
    def mean_loss(samples: Samples) -> float:
        return sum(float(loss(samples, i)) for i in range(len(samples))) / len(samples)

    train, test = sets.train[0], sets.test
    each = [
        torch.cat([g.flatten() for g in torch.autograd.grad(loss(train, i), network.parameters())])
        for i in range(25)
    ]
    mean = sum(each) / 25
    variance = sum((g - mean) ** 2 for g in each) / 25
    before = mean_loss(train), mean_loss(test)
    with torch.no_grad():
        start = 0
        for parameter in network.parameters():
            step = mean[start : start + parameter.numel()].reshape(parameter.shape)
            parameter.sub_(0.01 * step)
            start += parameter.numel()
    after = mean_loss(train), mean_loss(test)
    (found,) = _measured(cfg, Weights("w", given))
    expected = {
        "train_loss": before[0],
        "test_loss": before[1],
        "osgr_lhs": (before[1] - after[1]) / (before[0] - after[0]),
        "osgr_rhs": 1 - float(variance.sum() / (25 * mean.square().sum())),
        "grad_sq_norm": float(mean.square().sum()),
        "grad_var_sum": float(variance.sum()),
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-8), name


def _names(cfg: Config) -> list[str]:
    from gsnr_sweep.models.build import build_model

    return list(build_model(cfg.model, cfg.ch, (1, 28, 28), 10, 0).state_dict())


@pytest.mark.parametrize(
    "settings",
    [
        MLP,
        ("data=toy", "model=mlp"),
        ("data=digits", "model=table3_cnn", "ch=2", "n=12", "n_test=9"),
        ("data=digits", "model=mlp", "optim=adam", "optim.batch_size=8"),
    ],
    ids=lambda settings: settings[-1],
)
def test_kept_weights_give_the_numbers_of_their_run(tmp_path: Path, settings) -> None:
    given = (*settings, "n_sets=1", "epochs=2", "measure_at=[2]", "keep_weights=true")
    run = run_point(tiny_config(*given), tmp_path)
    (weights,) = read_weights(tmp_path / "weights.safetensors")
    (found,) = _measured(tiny_config(*settings, *MEASURING), weights)
    expected = run.record.measurements[-1].metrics
    if "optim=adam" in settings:  # its own next step is not in its weights
        expected = {name: v for name, v in expected.items() if not name.startswith("osgr_own_")}
    assert found == expected


def test_frozen_parameters_of_kept_weights_are_the_initial_ones(tmp_path: Path) -> None:
    settings = (*MLP, "model.frozen=[fc1]", "seed=4", "model.init=he")
    given = (*settings, "n_sets=1", "epochs=2", "measure_at=[2]", "keep_weights=true")
    run = run_point(tiny_config(*given), tmp_path)
    (weights,) = read_weights(tmp_path / "weights.safetensors")
    assert not any(name.startswith("fc1") for name in weights.tensors)
    (found,) = _measured(tiny_config(*settings, *MEASURING), weights)
    assert found == run.record.measurements[-1].metrics


def test_each_file_is_measured_by_itself() -> None:
    cfg = tiny_config(*MLP, *MEASURING)
    files = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        tensors = dict(zip(_names(cfg), _network().float().state_dict().values(), strict=True))
        files.append(Weights(f"{seed}", tensors))
    alone = [_measured(cfg, one)[0] for one in files]
    assert _measured(cfg, *files) == alone
    assert alone[0]["train_loss"] != alone[1]["train_loss"]


def test_what_needs_several_sets_is_not_finite() -> None:
    cfg = tiny_config(*MLP, *MEASURING)
    tensors = dict(zip(_names(cfg), _network().state_dict().values(), strict=True))
    ((_, found),) = measure_weights(cfg, [Weights("w", tensors)])
    own = ("lhs_epoch_se", "lhs_full_batch_se", "lhs_se", "rhs_se")
    errors = ["osgr_diff_se", "osgr_lhs_se", *(f"osgr_own_{each}" for each in own), "osgr_rhs_se"]
    assert found.nonfinite == errors
    assert all(math.isfinite(value) for value in found.metrics.values())


def test_the_precision_of_the_file_is_kept() -> None:
    model = nn.Linear(3, 2)
    exact = {name: t.double() + 1e-12 for name, t in model.state_dict().items()}
    put_weights(model, Weights("w", exact), "net")
    assert all(torch.equal(t, exact[name]) for name, t in model.state_dict().items())


@pytest.mark.parametrize("left_out", ["a.weight", "b.weight"])
def test_one_name_of_tied_weights_is_enough(left_out: str) -> None:
    model, other = Tied(), Tied()
    given = {name: t for name, t in other.state_dict().items() if name != left_out}
    put_weights(model, Weights("w", given), "net")
    assert torch.equal(model.b.weight, other.a.weight)
    assert model.b.weight is model.a.weight


def test_buffers_belong_to_the_weights() -> None:
    model, other = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    other(torch.randn(5, 2))
    put_weights(model, Weights("w", other.state_dict()), "net")
    assert torch.equal(model.running_mean, other.running_mean)


def test_each_difference_is_named() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    given = {
        "0.weight": torch.ones(4, 3),
        "0.bias": torch.ones(2, dtype=torch.int64),
        "1.weight": torch.ones(2, 2),
        "module.bias": torch.ones(2),
    }
    with pytest.raises(GsnrError) as raised:
        put_weights(model, Weights("a.pt", given), "model=net")
    assert str(raised.value).startswith(
        "a.pt does not fit model=net: 0.weight is [4, 3] in the file and [2, 3] in the network; "
        "0.bias holds int64 in the file; 1.bias [2] is missing in the file; module.bias [2] is not "
        "in the network. Name the network"
    )


def test_of_many_differences_some_are_named() -> None:
    given = {f"other{i}": torch.ones(1) for i in range(50)}
    with pytest.raises(GsnrError, match=r"other17 \[1\] is not in the network; and 32 more. Name"):
        put_weights(nn.Linear(1, 1), Weights("a.pt", given), "net")


class Dropping(nn.Module):
    """Drops activations in training, and normalizes batches."""

    def __init__(self, n_outputs: int) -> None:
        super().__init__()
        self.flat, self.first = nn.Flatten(), nn.Linear(784, 6)
        self.norm, self.drop, self.last = (
            nn.BatchNorm1d(6),
            nn.Dropout(0.5),
            nn.Linear(6, n_outputs),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.drop(self.norm(self.first(self.flat(x))).tanh()))


@pytest.mark.parametrize("statistics", ["running", "training_set"])
def test_checkpoints_of_networks_with_dropout_are_measured_without_it(statistics: str) -> None:
    """As PyTorch's evaluation mode has them, if running statistics are asked for."""
    torch.manual_seed(0)
    network = Dropping(10).train()
    for _ in range(5):
        network(torch.randn(20, 1, 28, 28) + 0.5)
    network.eval()
    own = ("model=custom", f"model._target_={__name__}.Dropping", "data=digits", "ch=2")
    cfg = tiny_config(*own, *MEASURING, f"measures.batch_norm={statistics}")
    (point,) = check([GridPoint("", (), cfg)])
    (found,) = _measured(point.cfg, Weights("w", network.state_dict()))
    sets = draw_sets(distribution(cfg.data), cfg.sampling)
    x, y = sets.test.batch(0, len(sets.test), torch.float32)
    loss = nn.functional.cross_entropy(network(x), y).item()
    assert (found["test_loss"] == pytest.approx(loss, rel=1e-5)) == (statistics == "running")
