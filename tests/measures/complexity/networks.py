"""Networks and their dense matrices, for oracles of norms."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "norm_vectors.json").read_text())
NETWORKS = ("mlp_nobias", "conv_bn_pools")


def wide(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def given_network(name: str) -> nn.Sequential:
    """A network of the test vectors, batch normalization unfolded, in eval mode."""
    return nn.Sequential(*map(_layer, VECTORS[name]["network"])).double().eval()


def given_inputs(name: str) -> Tensor:
    return wide(VECTORS[name]["x"])


def _layer(said: dict[str, Any]) -> nn.Module:
    match said["t"]:
        case "linear":
            n_out, n_in = np.shape(said["W"])
            return _with_weights(nn.Linear(n_in, n_out, said["b"] is not None), said)
        case "conv":
            n_out, n_in, *kernel = np.shape(said["W"])
            sizes = (n_in, n_out, tuple(kernel), said["stride"], said["pad"])
            return _with_weights(nn.Conv2d(*sizes, bias=said["b"] is not None), said)
        case "bn":
            norm = nn.BatchNorm2d(len(said["gamma"]), eps=said["eps"]).double()
            for name, key in (("weight", "gamma"), ("bias", "beta")):
                getattr(norm, name).data = wide(said[key])
            norm.running_mean, norm.running_var = wide(said["mean"]), wide(said["var"])
            return norm
        case "maxpool":
            return nn.MaxPool2d(said["k"])
        case "avgpool":
            return nn.AvgPool2d(said["k"])
    return {"relu": nn.ReLU, "flatten": nn.Flatten}[said["t"]]()


def _with_weights(layer: nn.Module, said: dict[str, Any]) -> nn.Module:
    layer.weight.data = wide(said["W"])
    if said["b"] is not None:
        layer.bias.data = wide(said["b"])
    return layer


def randomized(model: nn.Module, seed: int = 0) -> nn.Module:
    """The network in float64 and eval mode, its statistics, gains and offsets drawn at random."""
    generator = torch.Generator().manual_seed(seed)
    model = model.double().eval()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            for name, tensor in (*module.named_parameters(), *module.named_buffers()):
                if tensor.is_floating_point():
                    drawn = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
                    tensor.data.copy_(drawn.square() + 0.1 if name == "running_var" else drawn)
    return model


@torch.no_grad()
def dense_matrix(layer: nn.Module, shape: tuple[int, ...]) -> np.ndarray:
    """The matrix [out, in] of a layer without its bias, by pushing one unit vector at a time.

    For max-pooling of one value among zeros that is whether an input lies in an output's window.
    """
    n = int(np.prod(shape))
    zero = layer(torch.zeros(1, *shape, dtype=torch.float64)).flatten()
    columns = []
    for j in range(n):
        unit = torch.zeros(n, dtype=torch.float64)
        unit[j] = 1
        columns.append((layer(unit.view(1, *shape)).flatten() - zero).numpy())
    return np.stack(columns, axis=1)


@torch.no_grad()
def dense_bias(layer: nn.Module, shape: tuple[int, ...]) -> np.ndarray:
    """What a layer adds, one value an output."""
    return layer(torch.zeros(1, *shape, dtype=torch.float64)).flatten().numpy()


class BasicBlock(nn.Module):
    """A residual block of fully connected layers, without normalization."""

    def __init__(self, width: int, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = shortcut or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(self.relu(self.first(x)))
        y += self.shortcut(x)
        return self.relu(y)


class PreActivationBlock(nn.Module):
    """Batch normalization before each convolution, with a shortcut around both."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(torch.relu(self.norm1(x)))
        return x + self.conv2(torch.relu(self.norm2(y)))
