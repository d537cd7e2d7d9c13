"""Convolution, 2×2 max-pooling and ReLU without normalization between: Table 2's layers.

The convolution's own output is never stored, and the backward pass uses that pooling and ReLU let
an eighth of its gradients through.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from gsnr_sweep.engine.cpu.conv_block import ConvStage
from gsnr_sweep.engine.cpu.layout import NOWHERE, Lanes, Sums
from gsnr_sweep.engine.cpu.stage import PassContext


@dataclass(frozen=True)
class _Kept:
    x: Lanes
    which: Tensor


class PooledConv(ConvStage):
    """Convolution (stride 1) + 2×2 max-pooling + ReLU."""

    @override
    def forward(self, x: Lanes, run: PassContext, border: int) -> Lanes:
        channels = self._conv.out_channels
        height, width = ((s + 2 * self.border - self._k + 1) // 2 for s in (x.height, x.width))
        size = (height, width)
        y = run.workspace.images(f"{self._name}.y", x.n, channels, size, border)
        which = run.workspace.pixels(f"{self._name}.which", y)
        weight, bias, packed = self._weights(run)
        shape = (x.blocks, x.channels, channels, *size, self._k)
        arguments = (x.view(self.border), weight, bias, y.view(), which, packed)
        run.kernels.call("conv_pool_relu", *arguments, *shape)
        run.saved[self] = _Kept(x, which)
        return y

    @override
    def backward(self, g: Lanes, run: PassContext, sums: Sums, wants_input: bool) -> Lanes | None:
        kept: _Kept = run.saved[self]
        if not wants_input and self._k * kept.x.channels < run.workspace.lanes:
            # A patch's rows are too short to fill vectors: samples side by side do.
            self._sum_gradients(kept.x, g, kept.which, run, sums)
            return None
        gx = self._input_gradient(kept.x, run) if wants_input else None
        self._sum_by_sample(kept, g, run, sums, gx)
        return gx

    def _sum_by_sample(
        self, kept: _Kept, g: Lanes, run: PassContext, sums: Sums, gx: Lanes | None
    ) -> None:
        """Add the sums and write the gradient by the input, one sample after the other."""
        x, wanted = kept.x, int(sums.wanted)
        size = (x.height + 2 * self.border, x.width + 2 * self.border)
        shape = (x.channels, *size, self._conv.out_channels, self._k)
        floats = run.kernels.scratch("pooled", *shape, wanted)
        scratch = run.workspace.take("scratch", (floats,), torch.float32)
        rows = self._rows_of_weights(run)
        weights = torch.zeros(wanted, *rows.shape, dtype=torch.float64)
        biases = torch.zeros(wanted, len(rows), dtype=torch.float64)
        arguments = (x.view(self.border), kept.which, g.view(), rows)
        into = NOWHERE if gx is None else gx.view(self.border)
        run.kernels.call(
            "pooled_backward", *arguments, into, weights, biases, scratch, wanted, x.blocks, *shape
        )
        self._add(sums, weights, biases)

    def _input_gradient(self, x: Lanes, run: PassContext) -> Lanes:
        size = (x.height, x.width)
        return run.workspace.images(f"{self._name}.gx", x.n, x.channels, size, self.border)

    def _rows_of_weights(self, run: PassContext) -> Tensor:
        """Return weights [out, k, k · in], channels innermost, rows padded to whole vectors."""
        weight = self._conv.weight.detach()
        rows = weight.permute(0, 2, 3, 1).flatten(2)
        return F.pad(rows, (0, -rows.shape[2] % run.workspace.lanes)).contiguous()

    def _add(self, sums: Sums, weights: Tensor, biases: Tensor) -> None:
        k, channels = self._k, self._conv.in_channels
        total = sums.of(self._conv.weight)
        if total is not None:
            found = weights[..., : k * channels].reshape(*weights.shape[:3], k, channels)
            total += found.permute(0, 1, 4, 2, 3)
        total = sums.of(self._conv.bias)
        if total is not None:
            total += biases
