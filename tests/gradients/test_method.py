"""Networks that compute something else in training mode are refused, by the module's name."""

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gsnr_sweep.data.seeding import global_generators_state
from gsnr_sweep.engine.autograd import prepare_network
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.gradients.method import choose_moments_method
from gsnr_sweep.gradients.moments import Method
from gsnr_sweep.losses.loss import CROSS_ENTROPY

X, Y = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 0])
Act = Callable[["Acting", Tensor], Tensor]


class Acting(nn.Module):
    """A layer that calls a function; statistics and generators for those that want them."""

    running: Tensor

    def __init__(self, act: Act) -> None:
        super().__init__()
        self.act = act
        self.own = torch.Generator().manual_seed(0)
        self.numpy = np.random.default_rng(0)
        self.register_buffer("running", torch.zeros(8))

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self, x)

    def __deepcopy__(self, memo: object) -> "Acting":
        copied = Acting(self.act)
        copied.training = self.training
        return copied.to(self.running.dtype)


def own_batch_norm(layer: Acting, x: Tensor) -> Tensor:
    if layer.training:
        layer.running = 0.9 * layer.running + 0.1 * x.mean(0)
        return x - x.mean(0)
    return x - layer.running


def stochastic_depth(layer: Acting, x: Tensor) -> Tensor:
    return x * (torch.rand(()) > 1e-6) if layer.training else x


OFF_IN_EVALUATION: dict[str, Act] = {
    "dropout": lambda layer, x: F.dropout(x, 0.5, layer.training),
    "rare stochastic depth": stochastic_depth,
    "faint noise": lambda layer, x: x + 1e-12 * torch.randn_like(x) if layer.training else x,
    "numpy's noise": lambda layer, x: x * (1 + np.random.rand()) if layer.training else x,
    "Python's noise": lambda layer, x: x * random.random() if layer.training else x,
    "own generator": lambda layer, x: (
        x * torch.rand((), generator=layer.own, dtype=x.dtype) if layer.training else x
    ),
    "own NumPy generator": lambda layer, x: x * layer.numpy.random() if layer.training else x,
    "own batch norm": own_batch_norm,
    "another scale": lambda layer, x: x * (2 if layer.training else 1),
    "another type": lambda layer, x: (x, x) if layer.training else x,  # type: ignore[return-value,dict-item]
    "failure": lambda layer, x: x.no_such_thing if layer.training else x,  # type: ignore[attr-defined]
}


def network(act: Act) -> nn.Module:
    layers = {"fc1": nn.Linear(4, 8), "mine": Acting(act), "fc2": nn.Linear(8, 2)}
    model = nn.Sequential()
    for name, layer in layers.items():
        model.add_module(name, layer)
    return model


def told(model: nn.Module) -> str:
    with pytest.raises(GsnrError) as refusal:
        choose(model)
    return str(refusal.value)


def choose(model: nn.Module) -> Method:
    prepared = prepare_network(model, torch.float32, torch.device("cpu"))
    return choose_moments_method(prepared, X, Y, CROSS_ENTROPY)


@pytest.mark.parametrize("kind", OFF_IN_EVALUATION)
def test_what_training_mode_alone_does_is_refused_by_its_name(kind: str) -> None:
    said = told(network(OFF_IN_EVALUATION[kind]))
    assert said.startswith("This network ")
    assert "in training mode and not in evaluation mode (mine: Acting). Runs compute in" in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("dropout", "draws random numbers"),
        ("own batch norm", "gives other outputs for the same inputs"),
        ("failure", "fails (AttributeError: 'Tensor' object has no attribute 'no_such_thing')"),
    ],
)
def test_how_it_differs_is_said(kind: str, how: str) -> None:
    assert told(network(OFF_IN_EVALUATION[kind])).startswith(f"This network {how} in training mode")


class Whole(nn.Module):
    """Drops activations in its own forward pass; its head begins at zero, which would hide it."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(4, 8), nn.Linear(8, 2)
        nn.init.zeros_(self.fc2.weight)

    def forward(self, x: Tensor) -> Tensor:
        h = self.fc1(x)
        h = h - h.mean(0) if self.training else h
        out: Tensor = self.fc2(h)
        return out


def test_the_network_itself_may_be_the_one() -> None:
    assert "(the network itself: Whole)" in told(Whole())


def test_several_are_counted() -> None:
    act = OFF_IN_EVALUATION["another scale"]
    layers = [nn.Linear(4, 8), *(Acting(act) for _ in range(5)), nn.Linear(8, 2)]
    assert "(1: Acting, 2: Acting, 3: Acting and 2 more)" in told(nn.Sequential(*layers))


class Fixed(nn.Module):
    """Never leaves evaluation mode, whatever it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 2)

    def train(self, mode: bool = True) -> "Fixed":
        del mode
        return super().train(False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(x * (2 if self.training else 1))
        return out


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2)),
        lambda: nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.0), nn.Linear(8, 2)),
        lambda: network(lambda layer, x: F.dropout(x, 0.0, layer.training)),
        lambda: network(lambda layer, x: F.layer_norm(x, (8,))),
        Fixed,
    ],
)
def test_what_does_not_depend_on_the_mode_is_taken(make: Callable[[], nn.Module]) -> None:
    choose(make())


def test_random_numbers_stand_where_they_stood() -> None:
    kinds = ("dropout", "numpy's noise", "Python's noise")
    models = [network(OFF_IN_EVALUATION[kind]) for kind in kinds]
    before = global_generators_state(X.device)
    for model in models:
        told(model)
    assert global_generators_state(X.device) == before


def test_the_network_is_left_as_it_was() -> None:
    model = prepare_network(network(own_batch_norm), torch.float32, torch.device("cpu"))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(GsnrError):
        choose_moments_method(model, X, Y, CROSS_ENTROPY)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module.training for module in model.modules())


class Noisy(nn.BatchNorm1d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + torch.randn_like(x)


class Renamed(nn.BatchNorm1d):
    """Computes what its base does."""


def test_batch_normalization_of_ones_own_is_not_replaced_in_silence() -> None:
    said = told(nn.Sequential(nn.Linear(4, 8), Noisy(8), nn.Linear(8, 2)))
    assert "(1: Noisy overrides what BatchNorm1d computes)" in said
    choose(nn.Sequential(nn.Linear(4, 8), Renamed(8), nn.Linear(8, 2)))
