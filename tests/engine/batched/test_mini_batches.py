"""Gradients of several replicas' mini-batches against autograd, one replica after the other."""

import copy
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from gsnr_sweep.data.samples import Samples, Standardization
from gsnr_sweep.engine.batched import StackedMiniBatches, mini_batches
from gsnr_sweep.gradients.parameters import row_views, trained_parameters
from gsnr_sweep.losses.loss import CROSS_ENTROPY, SQUARED_ERROR_OF_LABELS, Loss, make_loss
from gsnr_sweep.losses.settings import HingeConfig

N, M = 9, 3
HINGE = make_loss(HingeConfig("hinge", 1.0, "max"), "classification")


def _mlp(*widths: int, bias: bool = True) -> nn.Sequential:
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Flatten()]
    for narrow, wide in pairwise(widths):
        layers += [nn.Linear(narrow, wide, bias=bias), nn.ReLU()]
    return nn.Sequential(*layers[:-1]).double()


def _frozen_first() -> nn.Sequential:
    model = _mlp(8, 5, 4, 3)
    model[1].requires_grad_(False)
    return model


def _frozen_weight() -> nn.Sequential:
    model = _mlp(8, 5, 3)
    model[3].weight.requires_grad_(False)  # its bias is trained
    return model


NETWORKS = {
    "one layer": _mlp(8, 3),
    "hidden layer": _mlp(8, 5, 3),
    "deep": _mlp(8, 5, 6, 4, 3),
    "no bias": _mlp(8, 5, 3, bias=False),
    "frozen first layer": _frozen_first(),
    "frozen weight": _frozen_weight(),
}


def _sets() -> list[Samples]:
    generator = torch.Generator().manual_seed(1)
    scale = Standardization((0.4, 0.5), (0.3, 0.2), 255.0)
    pixels = torch.randint(256, (M, N, 2, 2, 2), generator=generator, dtype=torch.uint8)
    return [Samples(x, torch.randint(3, (N,), generator=generator), scale) for x in pixels]


def _expected(
    model: nn.Module, weights: Tensor, samples: Samples, places: Tensor, loss: Loss
) -> list[Tensor]:
    own = copy.deepcopy(model)
    parameters = [p for p in own.parameters() if p.requires_grad]
    for p, w in zip(parameters, row_views(weights, trained_parameters(own)), strict=True):
        p.data.copy_(w)
    x, y = samples.batch(0, N, torch.float64)
    return list(torch.autograd.grad(loss(own(x[places]), y[places]).mean(), parameters))


@pytest.mark.parametrize(
    "loss", [CROSS_ENTROPY, SQUARED_ERROR_OF_LABELS, HINGE], ids=["ce", "mse", "hinge"]
)
@pytest.mark.parametrize("together", [10**9, 0], ids=["one group", "one by one"])
@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_are_those_of_autograd(
    name: str, kept: bool, together: int, loss: Loss, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mini_batches, "CPU_BYTES", together)
    model, train = NETWORKS[name], _sets()
    stacked = StackedMiniBatches(model, trained_parameters(model), train, loss, 4)
    assert len(stacked.groups) == (1 if together else M)
    if kept:
        stacked.keep_inputs()
    generator = torch.Generator().manual_seed(2)
    for size in (4, 1, 4):  # the last mini-batch of an epoch is smaller
        stacked.weights += 0.1 * torch.randn(stacked.weights.shape, generator=generator)
        places = [torch.randperm(N, generator=generator)[:size] for _ in train]
        for group, rows in enumerate(stacked.groups):
            found = stacked.gradients(group, places[rows])
            for m, gradient in zip(range(M)[rows], found, strict=True):
                expected = _expected(model, stacked.weights[m], train[m], places[m], loss)
                for one, other in zip(gradient, expected, strict=True):
                    torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)
