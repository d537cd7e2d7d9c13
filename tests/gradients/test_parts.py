"""Networks cut at their normalizations, against one full batch in float64."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from gsnr_sweep.gradients.batchnorm import Mode, norms_in_order, replace_batchnorm, set_modes
from gsnr_sweep.gradients.full_batch import (
    Room,
    full_batch_gradient,
    use_full_batch_statistics,
)
from gsnr_sweep.gradients.parts import CutNetwork, Part
from gsnr_sweep.losses.loss import CROSS_ENTROPY
from gsnr_sweep.models.resnet18 import ResNet18
from gsnr_sweep.models.table3_cnn import Table3CNN

N = 11


class Branches(nn.Module):
    """Operations in place, values read long after, a tensor of its own, vectors normalized."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.first, self.second = nn.BatchNorm2d(4), nn.BatchNorm2d(4, affine=False)
        self.scale = nn.Parameter(torch.full((4, 1, 1), 1.3))
        self.dense, self.third, self.out = nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 5)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        a = self.one(x)
        c = 2 * a
        h = self.relu(self.first(a) * self.scale)
        b = self.second(self.two(h))
        b += h * self.scale
        c += b  # what a cut keeps is changed after it
        pooled = (torch.relu(b) + a.detach() * 0.1 + c).mean((2, 3))
        return self.out(self.third(self.dense(pooled)))


class Sizes(nn.Module):
    """Reads the number of samples before the layer and uses it after."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.norm, self.out = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        n = x.shape[0]
        return self.out(torch.relu(self.norm(self.one(x))).reshape(n, 4, -1).mean(2))


class Depends(nn.Module):
    """Cannot be traced."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.norm, self.out = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(self.one(x))
        h = torch.relu(h) if h.sum() > -1e9 else h
        return self.out(h.mean((2, 3)))


class Hooked(nn.Sequential):
    """A block's hook does more than its layers."""

    def __init__(self) -> None:
        inner = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        super().__init__(inner, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
        inner.register_forward_hook(lambda _module, _inputs, output: 2 * output)


NETWORKS = {
    "table3": (lambda: Table3CNN(2, (3, 16, 16), 5), 8),
    "resnet18": (lambda: ResNet18(2, (3, 16, 16), 5), 20),
    "branches": (Branches, 3),
    "sizes": (Sizes, 0),
    "depends": (Depends, 0),
    "hooked": (Hooked, 1),
}


def _model(name: str) -> nn.Module:
    torch.manual_seed(0)
    model = replace_batchnorm(NETWORKS[name][0]()).double().eval()
    for parameter in model.parameters():
        if parameter.dim() == 1:
            nn.init.normal_(parameter, 1.0, 0.2)
    return model


def _data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(N, 3, 16, 16, dtype=torch.float64, generator=generator)
    return x, torch.randint(5, (N,), generator=generator)


def _loss_sum(outputs: Tensor, y: Tensor) -> Tensor:
    return CROSS_ENTROPY(outputs, y).sum()


def _one_batch(model: nn.Module) -> Tensor:
    x, y = _data()
    norms = norms_in_order(model, x[:2])
    use_full_batch_statistics(model, norms, lambda: iter([(x, y)]), 1)
    set_modes(norms, Mode.BATCH)
    found = torch.autograd.grad(_loss_sum(model(x.clone()), y), list(model.parameters()))
    return torch.cat([g.flatten() for g in found])


def _batches(size: int) -> Iterator[tuple[Tensor, Tensor]]:
    x, y = _data()
    return ((x[i : i + size].clone(), y[i : i + size]) for i in range(0, N, size))


@pytest.mark.parametrize("memory", [0, 2 * 10**4, 10**5, 10**9])
@pytest.mark.parametrize("size", [1, 4, N])
@pytest.mark.parametrize("name", list(NETWORKS))
def test_the_gradient_is_that_of_one_full_batch(name: str, size: int, memory: int) -> None:
    model = _model(name)
    x, _ = _data()
    expected = _one_batch(model)
    network = CutNetwork(model, norms_in_order(model, x[:2]), x[:2])
    parts = network.parts(N, memory)
    found = full_batch_gradient(parts, lambda: _batches(size), _loss_sum, list(model.parameters()))
    flat = torch.cat([g.flatten() for g in found])
    assert float((flat - expected).norm() / expected.norm()) < 1e-10


@pytest.mark.parametrize("name", list(NETWORKS))
def test_statistics_are_those_of_one_full_batch(name: str) -> None:
    model = _model(name)
    x, _ = _data()
    norms = norms_in_order(model, x[:2])
    _one_batch(model)
    expected = [(norm.mean.clone(), norm.var.clone()) for norm in norms]
    parts = CutNetwork(model, norms, x[:2]).parts(N, 10**9, forward_only=True)
    use_full_batch_statistics(model, norms, lambda: _batches(4), 3, parts=parts)
    for norm, (mean, var) in zip(norms, expected, strict=True):
        torch.testing.assert_close(norm.mean, mean, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(norm.var, var, rtol=1e-10, atol=1e-12)


def test_ways_that_take_turns_share_the_memory() -> None:
    model, room, memory = _model("resnet18"), Room(), 4 * 10**5
    x, _ = _data()
    norms = norms_in_order(model, x[:2])
    network = CutNetwork(model, norms, x[:2])
    for forward_only in (False, True, False):
        parts = network.parts(N, memory, forward_only)
        batches = lambda: _batches(4)  # noqa: E731
        if forward_only:
            use_full_batch_statistics(model, norms, batches, 3, parts=parts, room=room)
        else:
            full_batch_gradient(parts, batches, _loss_sum, list(model.parameters()), room)
        assert 0 < room.bytes <= memory


@pytest.mark.parametrize("name", list(NETWORKS))
def test_where_it_can_be_cut(name: str) -> None:
    model = _model(name)
    x, _ = _data()
    norms = norms_in_order(model, x[:2])
    parts = CutNetwork(model, norms, x[:2]).parts(N, 10**9)
    n_cuts = NETWORKS[name][1]
    assert len(parts) == n_cuts + 1
    assert [norm for part in parts for norm in part.norms] == norms
    assert [part.begins_at_norm for part in parts] == [False] + [True] * n_cuts


def test_a_chunk_goes_through_each_layer_forward_twice() -> None:
    model = _model("resnet18")
    x, _ = _data()
    parts = CutNetwork(model, norms_in_order(model, x[:2]), x[:2]).parts(N, 10**9)
    runs = [0] * len(parts)

    def counted(place: int, part: Part) -> Part:
        def run(values: list[Tensor]) -> list[Tensor]:
            runs[place] += 1
            return part.run(values)

        return Part(run, part.norms, part.begins_at_norm)

    watched = [counted(place, part) for place, part in enumerate(parts)]
    full_batch_gradient(watched, lambda: _batches(4), _loss_sum, list(model.parameters()))
    chunks = 3
    assert runs == [2 * chunks] * (len(parts) - 1) + [chunks]
