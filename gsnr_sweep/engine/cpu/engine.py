"""Passes of a network in its explicit form, with compiled kernels on a CPU."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from typing_extensions import override

from gsnr_sweep.data.samples import Samples
from gsnr_sweep.engine.autograd import AutogradEngine
from gsnr_sweep.engine.chunking import ChunkSizes
from gsnr_sweep.engine.cpu import ExplicitNetwork, ForwardPass, MomentOrder, Sums, Workspace
from gsnr_sweep.gradients import Method, Moments
from gsnr_sweep.gradients.batchnorm import Mode, set_modes
from gsnr_sweep.gradients.loss import Task, output_gradient
from gsnr_sweep.gradients.moments import OnChunk


class CpuEngine(AutogradEngine):
    """The same passes by the explicit form of the network.

    Where batch normalization's statistics must be gathered over several chunks, autograd does it.
    """

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        chunks: ChunkSizes,
        method: Method,
        example: Tensor,
        network: ExplicitNetwork,
        free: list[Workspace],
    ) -> None:
        """Prepare to go over samples; beside what autograd wants, with two things more.

        Args:
            model: See `AutogradEngine`.
            task: See there.
            chunks: See there.
            method: See there.
            example: See there.
            network: Explicit form of the network.
            free: Memory for passes, shared with networks of the same shapes: lent to one thread at
                a time and used again by the next.
        """
        super().__init__(model, task, chunks, method, example)
        self._network, self._free = network, free

    def _passes(
        self, samples: Samples, size: int, mode: Mode
    ) -> Iterator[tuple[ForwardPass, Tensor]]:
        """Go through a set: forward pass and targets of each chunk."""
        try:
            memory = self._free.pop()
        except IndexError:
            memory = self._network.workspace()
        for part in samples.parts(size):
            yield self._network.forward(part, mode, memory), part.y
        self._free.append(memory)

    def _fits(self, samples: Samples) -> bool:
        return not self._norms or len(samples) <= self._chunks.step

    @override
    def gradient(self, samples: Samples) -> list[Tensor]:
        if not self._fits(samples):
            return super().gradient(samples)
        sums = Sums(self._parameters, MomentOrder.GRADIENT)
        mode = Mode.BATCH if self._norms else Mode.FIXED
        for done, y in self._passes(samples, self._chunks.step, mode):
            self._network.backward(done, output_gradient(done.outputs, y, self._task), sums)
        return sums.gradients()

    @override
    def fix_statistics(self, samples: Samples) -> None:
        if not self._norms or not self._fits(samples):
            super().fix_statistics(samples)
            return
        for _ in self._passes(samples, len(samples), Mode.BATCH):
            pass
        set_modes(self._norms, Mode.FIXED)  # for those who use the network itself

    @override
    def moments(self, samples: Samples, on_chunk: OnChunk, signs: bool) -> Moments:
        sums = Sums(self._parameters, MomentOrder.SIGNS if signs else MomentOrder.SQUARES)
        for done, y in self._passes(samples, self._chunks.moments, Mode.FIXED):
            self._network.backward(done, output_gradient(done.outputs, y, self._task), sums)
            with torch.no_grad():
                on_chunk(done.outputs, y, self._loss(done.outputs, y))
        return Moments(len(samples), *sums.flat())

    @override
    def outputs(self, samples: Samples) -> Iterator[tuple[Tensor, Tensor]]:
        for done, y in self._passes(samples, self._chunks.losses, Mode.FIXED):
            yield done.outputs, y
