"""Which networks have an explicit form."""

import pytest
import torch
from torch import nn

from gsnr_sweep.engine.cpu import explicit_network
from gsnr_sweep.engine.cpu.kernels import available, load_kernels
from gsnr_sweep.gradients.batchnorm import replace_batchnorm
from tests.engine.cpu.networks import CASES

SHARED = nn.Linear(4, 4)
HOOKED = nn.Sequential(nn.Linear(4, 4))
HOOKED.register_forward_hook(lambda *_: None)


class OwnForward(nn.Sequential):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


def _after(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(2, 2, 3), *layers, nn.Flatten(), nn.LazyLinear(3))


IMPLICIT = {
    "another activation": nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2)),
    "own forward": OwnForward(nn.Linear(4, 4)),
    "no sequence": nn.Bilinear(2, 2, 2),
    "a layer twice": nn.Sequential(SHARED, nn.ReLU(), SHARED),
    "hooks": HOOKED,
    "nothing": nn.Sequential(),
    "norm of features": nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU()),
    "groups": _after(nn.Conv2d(2, 2, 3, groups=2)),
    "dilation": _after(nn.Conv2d(2, 2, 3, dilation=2)),
    "reflection": _after(nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect")),
    "same padding": _after(nn.Conv2d(2, 2, 3, padding="same")),
    "oblong": _after(nn.Conv2d(2, 2, (3, 1))),
    "padding beyond the kernel": _after(nn.Conv2d(2, 2, 1, padding=1)),
    "large pooling": _after(nn.MaxPool2d(3)),
    "overlapping pooling": _after(nn.MaxPool2d(2, stride=1)),
    "mean pooling": _after(nn.AvgPool2d(2)),
    "pooling twice": _after(nn.MaxPool2d(2), nn.MaxPool2d(2)),
    "other averages": nn.Sequential(nn.Conv2d(2, 2, 3), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
                                    nn.Linear(8, 2)),
    "images out": nn.Sequential(nn.Conv2d(2, 2, 3), nn.ReLU()),
    "partly flat": nn.Sequential(nn.Conv2d(2, 2, 3), nn.Flatten(2), nn.Linear(4, 2)),
}  # fmt: skip


@pytest.mark.parametrize("name", list(IMPLICIT))
def test_other_networks_have_none(name: str) -> None:
    model = replace_batchnorm(IMPLICIT[name])
    shape = (4,) if isinstance(next(iter(model.modules())), nn.Sequential) else (2, 9, 9)
    shape = (2, 9, 9) if any(isinstance(m, nn.Conv2d) for m in model.modules()) else shape
    assert explicit_network(model, shape, load_kernels()) is None


@pytest.mark.parametrize("name", list(CASES))
def test_without_kernels_only_linear_layers_have_one(name: str) -> None:
    case = CASES[name]
    network = explicit_network(replace_batchnorm(case.build()), case.shape, None)
    assert (network is not None) == (name in {"linear", "mlp", "vectors", "without_biases"})
    if available():
        kernels = load_kernels()
        assert explicit_network(replace_batchnorm(case.build()), case.shape, kernels) is not None


def test_a_linear_layer_on_images_is_no_network_of_features() -> None:
    model = nn.Sequential(nn.Linear(9, 3), nn.ReLU())  # acts on the last axis alone
    assert explicit_network(model, (2, 9, 9), load_kernels()) is None
