"""Mean and variance of per-sample gradients over a set, as each library's own docs recommend."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from benchmarks.peers import moments
from benchmarks.peers.moments import Sums
from benchmarks.peers.networks import without_batch_norm
from benchmarks.peers.tuning import Setting, settings

if TYPE_CHECKING:
    from benchmarks.workloads import Workload


class _Statistics(moments.Passes):
    """Mean and variance instead of sums."""

    def one_pass(self, m: int, setting: Setting) -> Sums:
        """Return the mean of g and its variance over a set."""
        sums, squares = super().one_pass(m, setting)
        n = self.workload.n
        mean = [total / n for total in sums]
        return [mean, [q / n - g.square() for q, g in zip(squares, mean, strict=True)]]


class SampleLoop(_Statistics, moments.SampleLoop):
    """One ordinary backward pass a sample."""


class VmapGrad(_Statistics, moments.VmapGrad):
    """torch.func: vmap(grad) over the samples of a chunk."""


class BackPackSums(_Statistics, moments.BackPack):
    """BackPACK's SumGradSquared, chunk by chunk."""

    def chunk(self, x: Tensor, y: Tensor, sums: Sums) -> None:
        """Take the sums of squares from the library."""
        self.backward("SumGradSquared", x, y)
        for k, p in enumerate(self.parameters):
            sums[0][k] += p.grad
            sums[1][k] += p.sum_grad_squared  # type: ignore[attr-defined]

    def backward(self, extension: str, x: Tensor, y: Tensor) -> None:
        """Go backward with one of the library's extensions.

        Raises:
            ValueError: It leaves nothing at some parameters, as at those of layers that it does not
                know: without a word where these have no extension at all.
        """
        from backpack import backpack, extensions

        kind: Any = getattr(extensions, extension)()
        self.model.zero_grad()
        with backpack(kind):
            self._loss(self.model(x), y).backward()
        if missing := _owners(self.model, kind.savefield):
            raise ValueError(f"gives nothing, and does not say so, for {', '.join(missing)}")


class BackPackBatch(BackPackSums):
    """BackPACK's BatchGrad: all gradients of a chunk, then squared and summed."""

    def chunk(self, x: Tensor, y: Tensor, sums: Sums) -> None:
        """Take all gradients from the library."""
        self.backward("BatchGrad", x, y)
        for k, p in enumerate(self.parameters):
            sums[0][k] += p.grad_batch.sum(0)  # type: ignore[attr-defined]
            sums[1][k] += p.grad_batch.square().sum(0)  # type: ignore[attr-defined]
            del p.grad_batch  # type: ignore[attr-defined]


class BackPackVariance(BackPackSums):
    """BackPACK's Variance, which is that of one batch: the set must be one."""

    def __init__(self, workload: Workload, _chunks: Sequence[int], dtype: str = "float32") -> None:
        """Go through the set at once, whatever chunks others may choose."""
        super().__init__(workload, (workload.n,), dtype)
        self.candidates = settings((workload.n,), workload.n)

    def one_pass(self, m: int, _setting: Setting) -> Sums:
        """Return the mean of g and its variance over a set."""
        x, y = self.data[m]
        self.backward("Variance", x, y)
        mean = [p.grad / len(x) for p in self.parameters]  # type: ignore[operator]
        return [mean, [p.variance for p in self.parameters]]  # type: ignore[attr-defined]


class Opacus(_Statistics, moments.Opacus):
    """Opacus: per-sample gradients of every parameter, then squared and summed.

    What it refuses is replaced as it recommends: `nn.LSTM` and `nn.MultiheadAttention` by its own
    layers. Batch normalization, for which it would put another normalization, is rewritten.
    """

    def __init__(self, workload: Workload, chunks: Sequence[int], dtype: str = "float32") -> None:
        """Wrap the network, and find the parameters in the order of the original's."""
        self._names: list[str] = []
        self._dtype: torch.dtype = getattr(torch, dtype)
        super().__init__(workload, chunks, dtype)
        found = {n.removeprefix("_module."): p for n, p in self.model.named_parameters()}
        self.parameters = [found[part] for name in self._names for part in _parts(name, found)]

    def prepared(self, model: nn.Module) -> nn.Module:
        """Replace what is refused, then wrap the network."""
        from opacus.validators import ModuleValidator

        self._names = [name for name, _ in model.named_parameters()]
        model = without_batch_norm(model).train()
        if any(isinstance(m, nn.LSTM | nn.MultiheadAttention) for m in model.modules()):
            model = ModuleValidator.fix(model).to(self._dtype)
        return super().prepared(model)


def _parts(name: str, found: Container[str]) -> list[str]:
    """Name what a parameter is made of: Opacus' attention has three layers for one."""
    if name in found:
        return [name]
    attention, _, kind = name.rpartition("in_proj_")
    return [f"{attention}{one}linear.{kind}" for one in "qkv"]


def _owners(model: nn.Module, field: str) -> list[str]:
    """Name the kinds of layers that own parameters without a field."""
    kinds = {
        type(module).__name__
        for module in model.modules()
        for p in module.parameters(recurse=False)
        if not hasattr(p, field)
    }
    return sorted(kinds)
