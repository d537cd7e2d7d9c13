"""Passes of a network in its explicit form, with compiled kernels on a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from gsnr_sweep.data.samples import Samples
from gsnr_sweep.engine.autograd import AutogradEngine
from gsnr_sweep.engine.base import chunks_of
from gsnr_sweep.engine.chunking import ChunkSizes
from gsnr_sweep.engine.cpu import ExplicitNetwork, ForwardPass, MomentOrder, Sums, Workspace
from gsnr_sweep.gradients import Moments
from gsnr_sweep.gradients.batchnorm import Mode
from gsnr_sweep.gradients.loss import Task, sample_losses
from gsnr_sweep.gradients.moments import OnChunk


class Workspaces:
    """Memory for passes, lent to one thread at a time and used again by the next."""

    def __init__(self, network: ExplicitNetwork) -> None:
        """Start with none; `network` knows what kind is needed."""
        self._network = network
        self._free: list[Workspace] = []

    @contextmanager
    def borrowed(self) -> Iterator[Workspace]:
        """Lend memory to this thread."""
        try:
            memory = self._free.pop()
        except IndexError:
            memory = self._network.workspace()
        yield memory
        self._free.append(memory)


class CpuEngine:
    """The explicit form of a network; see `Engine`.

    Where batch normalization's statistics must be gathered over several chunks, autograd does it.
    """

    def __init__(
        self,
        network: ExplicitNetwork,
        parameters: list[nn.Parameter],
        task: Task,
        chunks: ChunkSizes,
        memories: Workspaces,
        autograd: AutogradEngine,
    ) -> None:
        """Prepare to go over samples.

        Args:
            network: Explicit form of the network.
            parameters: Those that are trained, in order.
            task: Decides the loss.
            chunks: Samples in a pass.
            memories: Shared with networks of the same shapes.
            autograd: Passes of the same network.
        """
        self._network, self._parameters, self._chunks = network, parameters, chunks
        self._loss = partial(sample_losses, task=task)
        self._memories, self._autograd = memories, autograd

    def gradient(self, samples: Samples) -> list[Tensor]:
        """See `Engine`."""
        if not self._fits(samples):
            return self._autograd.gradient(samples)
        sums = Sums(self._parameters, MomentOrder.GRADIENT)
        mode = Mode.BATCH if self._network.norms else Mode.FIXED
        with self._memories.borrowed() as memory:
            for start, stop in chunks_of(len(samples), self._chunks.step):
                done = self._network.forward(samples, start, stop, mode, memory)
                g, _ = self._output_gradient(done, samples.y[start:stop])
                self._network.backward(done, g, sums)
        return sums.gradients()

    def _fits(self, samples: Samples) -> bool:
        return not self._network.norms or len(samples) <= self._chunks.step

    def _output_gradient(self, done: ForwardPass, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradient of the summed loss by the outputs, and the losses [n]."""
        outputs = done.outputs.detach().requires_grad_()
        with torch.enable_grad():
            losses = self._loss(outputs, y)
        (g,) = torch.autograd.grad(losses.sum(), outputs)
        return g, losses.detach()

    def fix_statistics(self, samples: Samples) -> None:
        """See `Engine`."""
        if not self._network.norms:
            return
        if not self._fits(samples):
            self._autograd.fix_statistics(samples)
            return
        with self._memories.borrowed() as memory:
            self._network.forward(samples, 0, len(samples), Mode.BATCH, memory)
        for norm in self._network.norms:
            norm.mode = Mode.FIXED  # for those who use the network itself

    def moments(self, samples: Samples, on_chunk: OnChunk, signs: bool) -> Moments:
        """See `Engine`."""
        sums = Sums(self._parameters, MomentOrder.SIGNS if signs else MomentOrder.SQUARES)
        with self._memories.borrowed() as memory:
            for start, stop in chunks_of(len(samples), self._chunks.moments):
                done = self._network.forward(samples, start, stop, Mode.FIXED, memory)
                y = samples.y[start:stop]
                g, losses = self._output_gradient(done, y)
                self._network.backward(done, g, sums)
                on_chunk(done.outputs, y, losses)
        return Moments(len(samples), *sums.flat())

    def outputs(self, samples: Samples) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Engine`."""
        with self._memories.borrowed() as memory:
            for start, stop in chunks_of(len(samples), self._chunks.losses):
                done = self._network.forward(samples, start, stop, Mode.FIXED, memory)
                yield done.outputs, samples.y[start:stop]
