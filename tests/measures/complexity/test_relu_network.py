"""A network read as matrices computes what the network computes; other networks are refused."""

import math

import pytest
import torch
from torch import Tensor, nn

from gsnr_sweep.data.samples import Samples
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.measures.complexity.relu_network import ReluNetwork
from gsnr_sweep.models.mlp import MLP
from tests.measures.complexity.references import left_as_it_was, linear

DOUBLE = torch.float64
RELU = nn.ReLU()


def _networks() -> list[nn.Module]:
    torch.manual_seed(0)
    return [
        nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2, bias=False)),
        nn.Sequential(nn.Linear(4, 3), RELU, nn.Linear(3, 3), RELU, nn.Linear(3, 2)),  # one ReLU
        nn.Sequential(
            *(nn.Flatten(), nn.Dropout(0.5)),
            nn.Sequential(nn.Linear(4, 3), nn.Identity(), nn.ReLU()),
            nn.Sequential(nn.Dropout(0.9), nn.Linear(3, 2)),
        ),
        MLP(5, (1, 2, 2), 3, depth=3),
    ]


@pytest.mark.parametrize("place", range(4))
def test_outputs_are_the_networks(place: int) -> None:
    model = _networks()[place].double().eval()
    flattens = place > 1
    x = torch.randn(7, *((1, 2, 2) if flattens else (4,)), dtype=DOUBLE)
    network = ReluNetwork.of(model, DOUBLE)
    inputs = network.inputs(Samples(x, torch.zeros(7)))
    assert inputs.shape == (7, 4)
    torch.testing.assert_close(network.pre_activations(inputs)[-1], model(x))
    assert network.widths[0] == 4


def test_pre_activations_are_what_linear_layers_return() -> None:
    model = _networks()[3].double().eval()
    seen: list[Tensor] = []
    for module in model:
        if isinstance(module, nn.Linear):
            module.register_forward_hook(lambda *call: seen.append(call[2]))
    x = torch.randn(5, 4, dtype=DOUBLE)
    model(x.view(5, 1, 2, 2))
    for found, expected in zip(ReluNetwork.of(model, DOUBLE).pre_activations(x), seen, strict=True):
        torch.testing.assert_close(found, expected)


def test_perturbations_have_a_share_of_each_layers_norm() -> None:
    """E ‖ν_i‖_F = γ ‖W_i‖_F: with as many entries, within a few per cent."""
    model = nn.Sequential(nn.Linear(80, 60), nn.ReLU(), nn.Linear(60, 50)).double()
    network = ReluNetwork.of(model, DOUBLE)
    torch.manual_seed(1)
    noise = [torch.randn_like(w) for w in network.weights]
    with left_as_it_was(model):
        moved = network.perturbed(noise, 0.3)
    for before, after, n in zip(network.weights, moved.weights, noise, strict=True):
        sigma = 0.3 * float(before.norm()) / math.sqrt(before.numel())
        torch.testing.assert_close(after - before, sigma * n)
        assert float((after - before).norm() / before.norm()) == pytest.approx(0.3, rel=0.05)
    assert all(a is b for a, b in zip(network.biases, moved.biases, strict=True))


class _Doubled(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (linear(3), "It has 1 Linear layers; two or more are needed"),
        (nn.Sequential(), "It has 0 Linear layers"),
        (nn.Sequential(linear(3, 2), nn.Tanh(), linear(2)), "1 is a Tanh"),
        (nn.Sequential(nn.Sequential(linear(3, 2), nn.GELU()), linear(2)), "0.1 is a GELU"),
        (nn.Sequential(nn.Conv2d(1, 1, 3), nn.ReLU(), linear(2)), "0 is a Conv2d"),
        (nn.Sequential(nn.Flatten(2), linear(2, 2), nn.ReLU(), linear(2)), "0 is a Flatten"),
        (nn.Sequential(linear(3, 2), linear(2)), "No ReLU stands between 1 and the layer before"),
        (nn.Sequential(linear(3, 2), nn.ReLU(), linear(2), nn.ReLU()), "It ends with a ReLU"),
        (nn.Sequential(nn.ReLU(), linear(3, 2), nn.ReLU(), linear(2)), r"0 \(ReLU\) stands before"),
        (_Doubled(linear(3, 2), nn.ReLU(), linear(2)), "The network is a _Doubled"),
        (nn.Bilinear(2, 2, 1), "The network is a Bilinear"),
    ],
)
def test_other_networks(model: nn.Module, said: str) -> None:
    with pytest.raises(GsnrError, match=said):
        ReluNetwork.of(model, DOUBLE)


@pytest.mark.parametrize("shape", [(0, 4), (5, 3), (5, 2, 2), (5,)])
def test_samples_that_do_not_fit(shape: tuple[int, ...]) -> None:
    network = ReluNetwork.of(_networks()[0], DOUBLE)
    with pytest.raises(GsnrError, match=r"Give at least one, of 4 values"):
        network.inputs(Samples(torch.zeros(shape), torch.zeros(shape[0])))
