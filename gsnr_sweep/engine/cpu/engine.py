"""Passes of a network in its explicit form, with compiled kernels on a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from typing_extensions import override

from gsnr_sweep.data.samples import Samples
from gsnr_sweep.engine.autograd import AutogradEngine
from gsnr_sweep.engine.cpu import ExplicitNetwork, ForwardPass, MomentOrder, Sums, Workspace
from gsnr_sweep.engine.cpu.piecewise import PiecewisePasses, cutting_of
from gsnr_sweep.gradients import Moments
from gsnr_sweep.gradients.batchnorm import Mode, set_modes
from gsnr_sweep.gradients.cutting import Cutting
from gsnr_sweep.gradients.moments import OnChunk


@dataclass(eq=False)
class CpuEngine(AutogradEngine):
    """The same passes by the explicit form of the network.

    Where batch normalization's statistics must be gathered over several chunks and a stage
    normalizes within itself, autograd does it.

    Attributes:
        network: Explicit form of the network.
        free: Memory for passes, shared with networks of the same shapes: lent to one thread at a
            time and used again by the next.
    """

    network: ExplicitNetwork
    free: list[Workspace]

    def _passes(
        self, samples: Samples, size: int, mode: Mode
    ) -> Iterator[tuple[ForwardPass, Tensor]]:
        """Go through a set: forward pass and targets of each chunk."""
        with self._memory() as memory:
            for part in samples.parts(size):
                yield self.network.forward(part, mode, memory), part.y

    @contextmanager
    def _memory(self) -> Iterator[Workspace]:
        try:
            memory = self.free.pop()
        except IndexError:
            memory = self.network.workspace()
        yield memory
        self.free.append(memory)

    @cached_property
    def _cutting(self) -> Cutting | None:
        with self._memory() as memory:
            return cutting_of(self.network, self.example, memory)

    @contextmanager
    def _piecewise(self, samples: Samples, forward_only: bool) -> Iterator[PiecewisePasses]:
        assert self._cutting is not None
        kept = self.chunks.kept_bytes
        places = self._cutting.chosen(len(samples), kept, forward_only)
        with self._memory() as memory:
            yield PiecewisePasses(self.network, samples, self.chunks.normalized, places, memory)

    def _fits(self, samples: Samples) -> bool:
        return not self._norms or len(samples) <= self.chunks.step

    @override
    def _gradient(self, samples: Samples, mode: Mode) -> list[Tensor]:
        if mode is Mode.BATCH and not self._fits(samples):
            if self._cutting is None:
                return super()._gradient(samples, mode)
            with self._piecewise(samples, forward_only=False) as passes:
                return passes.gradient(self.loss, self._parameters)
        sums = Sums(self._parameters, MomentOrder.GRADIENT)
        mode = mode if self._norms else Mode.FIXED
        for done, y in self._passes(samples, self.chunks.step, mode):
            self.network.backward(done, self.loss.output_gradient(done.outputs, y), sums)
        return sums.gradients()

    @override
    def _mean_gradient(self, batch: Samples) -> list[Tensor]:
        return self._mean(self._gradient(batch, Mode.BATCH), len(batch))

    @override
    def _fix_statistics_of(self, samples: Samples) -> None:
        if not self._fits(samples):
            if self._cutting is None:
                super()._fix_statistics_of(samples)
                return
            with self._piecewise(samples, forward_only=True) as passes:
                passes.set_statistics(forward_only=True)
            set_modes(self._norms, Mode.FIXED)
            return
        for _ in self._passes(samples, len(samples), Mode.BATCH):
            pass
        set_modes(self._norms, Mode.FIXED)  # for those who use the network itself

    @override
    def moments(self, samples: Samples, on_chunk: OnChunk, signs: bool) -> Moments:
        sums = Sums(self._parameters, MomentOrder.SIGNS if signs else MomentOrder.SQUARES)
        for done, y in self._passes(samples, self.chunks.moments, Mode.FIXED):
            self.network.backward(done, self.loss.output_gradient(done.outputs, y), sums)
            with torch.no_grad():
                on_chunk(done.outputs, y, self.loss(done.outputs, y))
        return Moments(len(samples), *sums.flat())

    @override
    def outputs(self, samples: Samples) -> Iterator[tuple[Tensor, Tensor]]:
        for done, y in self._passes(samples, self.chunks.losses, Mode.FIXED):
            yield done.outputs, y
