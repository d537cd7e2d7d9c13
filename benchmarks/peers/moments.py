"""Σ g and Σ g² of per-sample gradients over a set, with the libraries that people use for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from benchmarks.peers.losses import summed_loss
from benchmarks.peers.networks import fix_statistics, plain_network, without_batch_norm
from benchmarks.peers.training import flat
from benchmarks.peers.tuning import Setting, best_setting, settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.workloads import Workload

Sums = list[list[Tensor]]  # Σ g and Σ g², one tensor a parameter


class Passes:
    """What all of them share: one network, several sets, chunk by chunk."""

    def __init__(self, workload: Workload, chunks: Sequence[int], dtype: str = "float32") -> None:
        """Build the network with the statistics of the first set."""
        self.workload = workload
        self.data = workload.tensors(dtype)
        self.model = self.prepared(fix_statistics(plain_network(workload, dtype), self.data[0][0]))
        self.parameters = list(self.model.parameters())
        self.loss = summed_loss(workload.task)
        self.candidates = settings(chunks, workload.n)
        self.setting = self.candidates[0]

    def prepared(self, model: nn.Module) -> nn.Module:
        """Let a library have its way with the network."""
        return model

    def chunk(self, x: Tensor, y: Tensor, sums: Sums) -> None:
        """Add a chunk's Σ g and Σ g² to the sums."""
        raise NotImplementedError

    def one_pass(self, m: int, setting: Setting) -> Sums:
        """Return Σ g and Σ g² over a set."""
        sums = [[torch.zeros_like(p, requires_grad=False) for p in self.parameters] for _ in "12"]
        x, y = self.data[m]
        for start in range(0, len(x), setting.chunk):
            part = slice(start, start + setting.chunk)
            self.chunk(x[part], y[part], sums)
        return sums

    def tune(self) -> str:
        """Choose chunk size and threads by one pass."""
        self.setting = best_setting(self.candidates, lambda setting: self.one_pass(0, setting))
        return self.setting.describe(self.workload.n)

    def set_setting(self, setting: Setting) -> None:
        """Work with a setting that was chosen elsewhere."""
        self.setting = setting

    def get_setting(self) -> Setting:
        """Return what was chosen."""
        return self.setting

    def numbers(self) -> NDArray[np.float64]:
        """Return Σ g and Σ g² of the first set, [2, P]."""
        return np.stack([flat(parts) for parts in self.one_pass(0, self.setting)])

    def work(self) -> None:
        """Make one pass over each set."""
        torch.set_num_threads(self.setting.threads)
        for m in range(len(self.data)):
            self.one_pass(m, self.setting)


class GradientPass(Passes):
    """The yardstick: only Σ g, an ordinary backward pass."""

    def chunk(self, x: Tensor, y: Tensor, sums: Sums) -> None:
        """Add Σ g."""
        found = torch.autograd.grad(self.loss(self.model(x), y), self.parameters)
        for total, gradient in zip(sums[0], found, strict=True):
            total += gradient


class SampleLoop(Passes):
    """One ordinary backward pass a sample."""

    def chunk(self, x: Tensor, y: Tensor, sums: Sums) -> None:
        """Go through the chunk sample by sample."""
        for i in range(len(x)):
            loss = self.loss(self.model(x[i : i + 1]), y[i : i + 1])
            for k, gradient in enumerate(torch.autograd.grad(loss, self.parameters)):
                sums[0][k] += gradient
                sums[1][k] += gradient.square()


class VmapGrad(Passes):
    """torch.func: vmap(grad) over the samples of a chunk."""

    def prepared(self, model: nn.Module) -> nn.Module:
        """Make the function that gives all gradients of a chunk."""
        self._state = {name: p.detach() for name, p in model.named_parameters()}
        self._buffers = dict(model.named_buffers())
        loss = summed_loss(self.workload.task)

        def sample_loss(state: Any, x: Tensor, y: Tensor) -> Tensor:
            outputs = functional_call(model, (state, self._buffers), (x.unsqueeze(0),))
            return loss(outputs, y.unsqueeze(0))

        self._gradients: Callable[..., dict[str, Tensor]] = vmap(
            grad(sample_loss), in_dims=(None, 0, 0)
        )
        return model

    def chunk(self, x: Tensor, y: Tensor, sums: Sums) -> None:
        """Take the gradients of all samples at once."""
        for k, gradients in enumerate(self._gradients(self._state, x, y).values()):
            sums[0][k] += gradients.sum(0)
            sums[1][k] += gradients.square().sum(0)


class BackPack(Passes):
    """BackPACK's SumGradSquared: one backward pass, no per-sample gradients kept."""

    def prepared(self, model: nn.Module) -> nn.Module:
        """Extend network and loss."""
        from backpack import extend

        task = self.workload.task
        kind = nn.MSELoss if task == "regression" else nn.CrossEntropyLoss
        self._loss = extend(kind(reduction="sum"))
        return extend(model, use_converter=False)  # type: ignore[no-any-return]

    def chunk(self, x: Tensor, y: Tensor, sums: Sums) -> None:
        """Take the sums of squares from the library."""
        from backpack import backpack
        from backpack.extensions import SumGradSquared

        self.model.zero_grad()
        with backpack(SumGradSquared()):
            self._loss(self.model(x), y).backward()
        for k, p in enumerate(self.parameters):
            sums[0][k] += p.grad
            sums[1][k] += p.sum_grad_squared  # type: ignore[attr-defined]


class Opacus(Passes):
    """Opacus: per-sample gradients of every parameter, then squared and summed.

    It refuses batch normalization, even with fixed statistics; that layer is rewritten for it.
    """

    def prepared(self, model: nn.Module) -> nn.Module:
        """Wrap the network; training mode is what makes Opacus work, and changes nothing else."""
        from opacus.grad_sample import GradSampleModule

        plain = without_batch_norm(model).train()
        return GradSampleModule(plain, loss_reduction="sum")  # type: ignore[no-any-return]

    def chunk(self, x: Tensor, y: Tensor, sums: Sums) -> None:
        """Take all gradients from the library."""
        self.model.zero_grad()
        self.loss(self.model(x), y).backward()
        for k, p in enumerate(self.parameters):
            sums[0][k] += p.grad_sample.sum(0)  # type: ignore[attr-defined]
            sums[1][k] += p.grad_sample.square().sum(0)  # type: ignore[attr-defined]
            p.grad_sample = None  # type: ignore[attr-defined]
