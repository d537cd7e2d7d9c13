"""Networks that have an explicit form, and their passes next to autograd's in float64."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gsnr_sweep.data.samples import Samples, Standardization
from gsnr_sweep.engine.cpu import ExplicitNetwork, MomentOrder, Sums, explicit_network
from gsnr_sweep.engine.cpu.kernels import Kernels
from gsnr_sweep.gradients.batchnorm import FullBatchNorm, Mode, replace_batchnorm
from gsnr_sweep.losses.loss import CROSS_ENTROPY
from gsnr_sweep.models.mlp import MLP
from gsnr_sweep.models.resnet18 import ResNet18
from gsnr_sweep.models.strided_cnn import StridedCNN
from gsnr_sweep.models.table2_cnn import Table2CNN
from gsnr_sweep.models.table3_cnn import Table3CNN
from gsnr_sweep.models.vgg import VGG


def _table2() -> nn.Module:
    return Table2CNN(3, (1, 28, 28), 10)


def _usual_order() -> nn.Module:
    """ReLU before pooling, three input channels, odd sizes that pooling cuts off."""
    return nn.Sequential(
        nn.Conv2d(3, 7, 4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(7, 5, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(5 * 9, 8), nn.ReLU(), nn.Linear(8, 10),
    )  # fmt: skip


def _wide_enough_for_single_samples() -> nn.Module:
    """The first layer's patches have rows that fill a vector."""
    return nn.Sequential(
        nn.Conv2d(4, 5, 5, padding=2, bias=False), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(),
        nn.Linear(5 * 36, 10),
    )  # fmt: skip


def _plain_convolutions() -> nn.Module:
    """No pooling or no ReLU, strides, 1×1 and 7×7 kernels, many channels."""
    return nn.Sequential(
        nn.Conv2d(3, 13, 7, padding=3), nn.ReLU(), nn.Conv2d(13, 6, 1),
        nn.Conv2d(6, 8, 2, stride=2), nn.MaxPool2d(2),
        nn.Conv2d(8, 9, 3, stride=2, padding=1, bias=False), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(9, 10),
    )  # fmt: skip


def _normalized() -> nn.Module:
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)), nn.ReLU(),
        nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6, affine=False), nn.MaxPool2d(2), nn.ReLU(),
        nn.Conv2d(6, 5, 3, padding=1, stride=2), nn.BatchNorm2d(5), nn.Flatten(),
        nn.Linear(5 * 9, 10),
    )  # fmt: skip


def _oblong(k: int, stride: int, padding: int) -> Callable[[], nn.Module]:
    """A strided convolution that leaves other remainders of the height than of the width."""
    return lambda: nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Conv2d(2, 3, k, stride, padding), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 10),
    )  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A network and the shape of its inputs."""

    build: Callable[[], nn.Module]
    shape: tuple[int, ...]


CASES = {
    "table2": Case(_table2, (1, 28, 28)),
    "usual_order": Case(_usual_order, (3, 17, 17)),
    "wide_patches": Case(_wide_enough_for_single_samples, (4, 13, 13)),
    "plain": Case(_plain_convolutions, (3, 16, 16)),
    "oblong_1x1": Case(_oblong(1, 2, 0), (1, 7, 8)),
    "oblong_3x3": Case(_oblong(3, 2, 1), (1, 7, 8)),
    "oblong_2x2": Case(_oblong(2, 3, 0), (1, 8, 7)),
    "normalized": Case(_normalized, (3, 13, 13)),
    "table3": Case(lambda: Table3CNN(2, (3, 16, 16), 10), (3, 16, 16)),
    "resnet18": Case(lambda: ResNet18(2, (3, 16, 16), 10), (3, 16, 16)),
    "vgg": Case(lambda: VGG(2, (3, 16, 16), 10, stages=2), (3, 16, 16)),
    "mlp": Case(lambda: MLP(9, (1, 6, 6), 10, depth=2), (1, 6, 6)),
    "without_biases": Case(lambda: MLP(9, (1, 6, 6), 10, depth=2, bias=False), (1, 6, 6)),
    "strided": Case(lambda: StridedCNN(3, (3, 16, 17), 10), (3, 16, 17)),
    "linear": Case(lambda: MLP(9, (1, 6, 6), 10, depth=0), (1, 6, 6)),
    "vectors": Case(lambda: MLP(9, (6,), 10), (6,)),
}


def build(case: Case, seed: int = 0) -> nn.Module:
    """Build a network with gains and offsets that hide nothing."""
    torch.manual_seed(seed)
    model = replace_batchnorm(case.build())
    for module in model.modules():
        if isinstance(module, FullBatchNorm) and module.weight is not None:
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    return model


def samples(case: Case, n: int, seed: int = 1) -> Samples:
    """Draw samples; images as bytes with a standardization."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(10, (n,), generator=generator)
    if len(case.shape) == 1:
        return Samples(torch.randn(n, *case.shape, generator=generator), y)
    channels = case.shape[0]
    x = torch.randint(256, (n, *case.shape), dtype=torch.uint8, generator=generator)
    mean, std = (0.4, 0.5, 0.6, 0.3), (0.3, 0.2, 0.25, 0.4)
    return Samples(x, y, Standardization(mean[:channels], std[:channels], 255.0))


def losses(outputs: Tensor, y: Tensor) -> Tensor:
    """Return each sample's cross entropy."""
    return CROSS_ENTROPY(outputs, y)


def trained(model: nn.Module) -> list[nn.Parameter]:
    """List the trained parameters."""
    return [p for p in model.parameters() if p.requires_grad]


def explicit(model: nn.Module, case: Case, kernels: Kernels) -> ExplicitNetwork:
    """Return the explicit form, which must exist."""
    network = explicit_network(model, case.shape, kernels)
    assert network is not None
    return network


def explicit_sums(
    model: nn.Module,
    case: Case,
    kernels: Kernels,
    data: Samples,
    mode: Mode,
    kinds: MomentOrder,
    chunk: int,
) -> list[Tensor]:
    """Go over the data chunk by chunk; return each kind of sum over all parameters, [P]."""
    network, sums = explicit(model, case, kernels), Sums(trained(model), kinds)
    memory = network.workspace()
    for part in data.parts(chunk):
        done = network.forward(part, mode, memory)
        outputs = done.outputs.detach().requires_grad_()
        (g,) = torch.autograd.grad(losses(outputs, part.y).sum(), outputs)
        network.backward(done, g, sums)
    return sums.flat()


def reference(model: nn.Module, data: Samples, mode: Mode) -> tuple[nn.Module, Tensor]:
    """Return the network in float64 in a mode, statistics those of the data, and its inputs."""
    wide = copy.deepcopy(model).double()
    x, _ = data.batch(0, len(data), torch.float64)
    norms = [module for module in wide.modules() if isinstance(module, FullBatchNorm)]
    for norm in norms:
        norm.mode = Mode.BATCH
    with torch.no_grad():
        wide(x)
    for norm in norms:
        norm.mode = mode
    return wide, x
