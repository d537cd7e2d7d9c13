"""The networks as a researcher writes them from the papers' tables, in PyTorch's own layers."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from benchmarks.peers.own_networks import attention, encoder, lstm
from benchmarks.workloads import OWN, WEIGHTS_SEED

if TYPE_CHECKING:
    from benchmarks.workloads import Workload


def table2_cnn(ch: int) -> nn.Module:
    """Liu et al. 2020, Table 2."""
    q = int(2.5 * ch)
    return nn.Sequential(
        nn.Conv2d(1, ch, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(ch, q, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * q, 10 * q),
        nn.ReLU(),
        nn.Linear(10 * q, 10),
    )


def table3_cnn(ch: int) -> nn.Module:
    """Liu et al. 2020, Table 3."""
    layers: list[nn.Module] = []
    for narrow, wide in pairwise((3, ch, 2 * ch, 4 * ch, 8 * ch)):
        middle = ch if narrow == 3 else wide
        layers += [nn.Conv2d(narrow, middle, 3, padding=1), nn.BatchNorm2d(middle), nn.ReLU()]
        layers += [nn.Conv2d(middle, wide, 3, padding=1), nn.BatchNorm2d(wide), nn.ReLU()]
        layers.append(nn.MaxPool2d(2))
    head = [nn.Linear(32 * ch, 8 * ch), nn.ReLU(), nn.Linear(8 * ch, 8 * ch), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), *head, nn.Linear(8 * ch, 10))


def mlp(ch: int) -> nn.Module:
    """784-ch-ch-10."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, ch),
        nn.ReLU(),
        nn.Linear(ch, ch),
        nn.ReLU(),
        nn.Linear(ch, 10),
    )


def perceptron(ch: int) -> nn.Module:
    """784-ch-10."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, ch), nn.ReLU(), nn.Linear(ch, 10))


def vgg(ch: int, norm: bool = False) -> nn.Module:
    """Neyshabur et al. 2017, its first three stages."""
    layers: list[nn.Module] = []
    for narrow, wide in pairwise((3, ch, 2 * ch, 4 * ch)):
        for into in (narrow, wide):
            layers.append(nn.Conv2d(into, wide, 3, padding=1))
            layers += [nn.BatchNorm2d(wide)] if norm else []
            layers.append(nn.ReLU())
        layers.append(nn.MaxPool2d(2))
    layers += [nn.AvgPool2d(4), nn.Flatten(), nn.Linear(4 * ch, 4 * ch)]
    layers += [nn.BatchNorm1d(4 * ch)] if norm else []
    return nn.Sequential(*layers, nn.ReLU(), nn.Linear(4 * ch, 10))


def vgg_bn(ch: int) -> nn.Module:
    """The same with batch normalization."""
    return vgg(ch, norm=True)


def toy_mlp(ch: int) -> nn.Module:
    """2-ch-1 (Liu et al. 2020, A.3)."""
    return nn.Sequential(nn.Linear(2, ch), nn.ReLU(), nn.Linear(ch, 1))


class BasicBlock(nn.Module):
    """He et al. 2016; nothing is overwritten in place, which libraries with hooks cannot bear."""

    def __init__(self, narrow: int, wide: int, stride: int) -> None:
        """Build the block, with a shortcut where shapes differ."""
        super().__init__()
        self.conv1 = nn.Conv2d(narrow, wide, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(wide)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(wide, wide, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(wide)
        self.shortcut: nn.Module = nn.Identity()
        if narrow != wide:
            project = nn.Conv2d(narrow, wide, 1, stride, bias=False)
            self.shortcut = nn.Sequential(project, nn.BatchNorm2d(wide))
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Add the shortcut to two convolutions."""
        residual = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        return self.relu2(residual + self.shortcut(x))


def resnet18(ch: int) -> nn.Module:
    """Build ResNet18 with the stem that is usual at 32×32; `ch` is usually 64."""
    widths = (ch, ch, 2 * ch, 4 * ch, 8 * ch)
    blocks: list[nn.Module] = []
    for narrow, wide in pairwise(widths):
        blocks += [BasicBlock(narrow, wide, wide // narrow), BasicBlock(wide, wide, 1)]
    stem = [nn.Conv2d(3, ch, 3, padding=1, bias=False), nn.BatchNorm2d(ch), nn.ReLU()]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8 * ch, 10)]
    return nn.Sequential(*stem, *blocks, *head)


_NETWORKS = {
    "table2_cnn": table2_cnn,
    "table3_cnn": table3_cnn,
    "mlp": mlp,
    "perceptron": perceptron,
    "vgg": vgg,
    "vgg_bn": vgg_bn,
    "toy_mlp": toy_mlp,
    "resnet18": resnet18,
    "attention": attention,
    "encoder": encoder,
    "lstm": lstm,
}


def plain_network(workload: Workload, dtype: str = "float32") -> nn.Module:
    """Build a workload's network with the same initial weights as the tool's, in training mode."""
    torch.manual_seed(WEIGHTS_SEED)
    model = _NETWORKS[workload.model](workload.ch)
    if workload.model not in OWN:
        with torch.no_grad():
            initial = workload.initial().parameters()
            for own, other in zip(model.parameters(), initial, strict=True):
                own.copy_(other)
    return model.to(getattr(torch, dtype)).train()


def fix_statistics(model: nn.Module, x: Tensor) -> nn.Module:
    """Let batch normalization use the statistics of the set `x` from now on.

    The variance is the one that training mode divides by (1/N), not the running one (1/(N − 1)).
    """
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    hooks = [norm.register_forward_pre_hook(_keep_statistics) for norm in norms]
    with torch.no_grad():
        model.train()(x)
    for hook in hooks:
        hook.remove()
    for norm in norms:
        norm.running_mean, norm.running_var = norm.seen_mean, norm.seen_var
        del norm.seen_mean, norm.seen_var
    return model.eval()


def _keep_statistics(norm: Any, inputs: tuple[Tensor, ...]) -> None:
    axes = (0, 2, 3)
    norm.seen_mean = inputs[0].mean(axes)
    norm.seen_var = inputs[0].var(axes, unbiased=False)


class FixedNorm(nn.Module):
    """Batch normalization with fixed statistics as a layer that knows no batch and no buffers."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        """Take over a layer whose statistics are fixed."""
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias
        assert norm.running_mean is not None
        assert norm.running_var is not None
        self.mean = norm.running_mean.view(-1, 1, 1)
        self.inverse = (norm.running_var.view(-1, 1, 1) + norm.eps).rsqrt()

    def forward(self, x: Tensor) -> Tensor:
        """Normalize."""
        normal = (x - self.mean) * self.inverse
        return normal * self.weight.view(-1, 1, 1) + self.bias.view(-1, 1, 1)


def without_batch_norm(model: nn.Module) -> nn.Module:
    """Put a `FixedNorm` into the place of every batch normalization."""
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.BatchNorm2d):
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, FixedNorm(module))
    return model
