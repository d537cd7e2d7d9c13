"""The compiled kernels, where a network has a form that they compute."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gsnr_sweep.data.samples import Samples
from gsnr_sweep.engine.agreement import close
from gsnr_sweep.engine.cpu import ExplicitNetwork, MomentOrder, Sums, Workspace, explicit_network
from gsnr_sweep.engine.cpu.kernels import load_kernels
from gsnr_sweep.gradients import Moments, gradient_moments
from gsnr_sweep.gradients.batchnorm import Mode
from gsnr_sweep.gradients.moments import OnChunk
from gsnr_sweep.gradients.per_sample import SampleLosses


@dataclass(frozen=True)
class KernelPasses:
    """Moments of per-sample gradients without autograd, batch normalization's statistics fixed.

    Attributes:
        network: The model's explicit form.
        trained: Its trained parameters, in order.
        memory: Where passes leave what they make.
    """

    network: ExplicitNetwork
    trained: list[nn.Parameter]
    memory: Workspace

    @classmethod
    def of(
        cls, model: nn.Module, x: Tensor, y: Tensor, losses: SampleLosses, agreed: bool = False
    ) -> KernelPasses | None:
        """Return those of a network, if it has them and they agree with autograd.

        Args:
            model: Batch normalization replaced and fixed.
            x: [N, ...] a few inputs.
            y: Their targets.
            losses: Losses [N] from outputs and targets.
            agreed: Whether they agreed for a network of the same form.
        """
        if x.device.type != "cpu" or x.dtype != torch.float32:
            return None
        network = explicit_network(model, tuple(x.shape[1:]), load_kernels("auto"))
        trained = [p for p in model.parameters() if p.requires_grad]
        if network is None or any(p.dtype != torch.float32 for p in trained):
            return None
        passes = cls(network, trained, network.workspace())
        if agreed:
            return passes
        found = passes.moments([(x, y)], losses)
        expected = gradient_moments(model, [(x, y)], losses, signs=False)
        sizes = [p.numel() for p in trained]
        pairs = (found.sum, expected.sum), (found.sum_of_squares, expected.sum_of_squares)
        agree = all(close(a.split_with_sizes(sizes), b.split_with_sizes(sizes)) for a, b in pairs)
        return passes if agree else None

    def moments(
        self,
        chunks: Iterable[tuple[Tensor, Tensor]],
        losses: SampleLosses,
        on_chunk: OnChunk | None = None,
    ) -> Moments:
        """Compute what `gradient_moments` does."""
        sums, count = Sums(self.trained, MomentOrder.SQUARES), 0
        for x, y in chunks:
            done = self.network.forward(Samples(x, y), Mode.FIXED, self.memory)
            leaf = done.outputs.detach().requires_grad_()
            with torch.enable_grad():
                own = losses(leaf, y)
            self.network.backward(done, torch.autograd.grad(own.sum(), leaf)[0], sums)
            count += len(x)
            if on_chunk is not None:
                on_chunk(done.outputs, y, own.detach())
        return Moments(count, *sums.flat())
