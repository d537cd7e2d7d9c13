"""Convolution, then batch normalization, 2×2 max-pooling and ReLU as far as there are such."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from typing_extensions import override

from gsnr_sweep.engine.cpu.layout import Lanes, Sums
from gsnr_sweep.engine.cpu.stage import PassContext, Stage
from gsnr_sweep.gradients.batchnorm import FullBatchNorm, Mode


@dataclass(frozen=True)
class _Kept:
    """A forward pass.

    Attributes:
        x: Input.
        z: Output of the convolution.
        which: Which of four positions pooling took.
        gain: By channel; the activation is that of gain·z + offset.
        offset: By channel.
    """

    x: Lanes
    z: Lanes
    which: Tensor | None
    gain: Tensor
    offset: Tensor


class ConvStage(Stage):
    """A convolution with a square kernel and stride, zero padding and one group."""

    def __init__(self, name: str, conv: nn.Conv2d, norm: FullBatchNorm | None = None) -> None:
        """Take over the layers.

        Args:
            name: Unique in the network.
            conv: The convolution.
            norm: Batch normalization behind it.
        """
        self._name, self._conv = name, conv
        self._k, self._stride = int(conv.kernel_size[0]), int(conv.stride[0])
        self.border = int(conv.padding[0])
        self.norms = [norm] if norm is not None else []
        self.parameters = [conv.weight, conv.bias]
        self.parameters += [p for norm in self.norms for p in (norm.weight, norm.bias)]

    def _weights(self, run: PassContext) -> tuple[Tensor, Tensor | None, Tensor]:
        """Return weight, bias, and memory for the weight in a kernel's own order."""
        weight, bias = self._conv.weight.detach().contiguous(), self._conv.bias
        packed = run.workspace.take("packed", (weight.numel(),), torch.float32)
        return weight, None if bias is None else bias.detach(), packed

    def _sum_gradients(
        self, x: Lanes, g: Lanes, which: Tensor | None, run: PassContext, sums: Sums
    ) -> None:
        """Add the moments of weight and bias.

        Args:
            x: Input.
            g: Gradient by the output; after 2×2 max-pooling and ReLU if `which` is given.
            which: Position that pooling took.
            run: The pass.
            sums: Of the network's trained parameters.
        """
        wanted, workspace = int(sums.wanted), run.workspace
        total = sums.of(self._conv.weight)
        if total is not None:
            pooled = int(which is not None)
            size = ((1 + pooled) * g.height, (1 + pooled) * g.width)
            vectors = run.kernels.scratch("weights", x.channels, self._k, *size, pooled)
            scratch = workspace.take("weights", (vectors, workspace.lanes), torch.float32)
            shape = (wanted, g.blocks, x.channels, g.channels, *size, self._k, self._stride)
            views = (x.view(self.border), g.view())
            run.kernels.call("conv_weights", *views, which, total, scratch, *shape)
        total = sums.of(self._conv.bias)
        if total is not None:
            of_g = (g.blocks, g.channels, g.height, g.width)
            run.kernels.call("conv_bias", g.view(), which, total, wanted, *of_g)


class ConvBlock(ConvStage):
    """One convolution with all that follows it up to the next."""

    def __init__(
        self,
        name: str,
        conv: nn.Conv2d,
        norm: FullBatchNorm | None,
        pool: bool,
        rectify: bool,
    ) -> None:
        """Take over the layers.

        Args:
            name: Unique in the network.
            conv: See `ConvStage`.
            norm: Batch normalization.
            pool: Whether 2×2 max-pooling follows.
            rectify: Whether ReLU follows (before or after pooling: the two commute).
        """
        super().__init__(name, conv, norm)
        self._norm, self._pool, self._rectify = norm, pool, rectify

    @override
    def forward(self, x: Lanes, run: PassContext, border: int) -> Lanes:
        z = self._convolve(x, run)
        gain, offset = self._affine(z, run)
        size = (z.height // 2, z.width // 2) if self._pool else (z.height, z.width)
        y = run.workspace.images(f"{self._name}.y", x.n, z.channels, size, border)
        which = run.workspace.pixels(f"{self._name}.which", y) if self._pool else None
        shape = (z.blocks, z.channels, y.height, y.width)
        acts = (int(self._pool), int(self._rectify))
        run.kernels.call("normalize", z.view(), gain, offset, y.view(), which, *shape, *acts)
        run.saved[self] = _Kept(x, z, which, gain, offset)
        return y

    def _convolve(self, x: Lanes, run: PassContext) -> Lanes:
        channels = self._conv.out_channels
        size = tuple(
            (s + 2 * self.border - self._k) // self._stride + 1 for s in (x.height, x.width)
        )
        z = run.workspace.images(f"{self._name}.z", x.n, channels, (size[0], size[1]))
        weight, bias, packed = self._weights(run)
        shape = (x.blocks, x.channels, channels, *size, self._k, self._stride)
        run.kernels.call(
            "conv_forward", x.view(self.border), weight, bias, z.view(), packed, *shape
        )
        return z

    def _affine(self, z: Lanes, run: PassContext) -> tuple[Tensor, Tensor]:
        """Return gain and offset of the normalization by channel; first its statistics if due."""
        norm = self._norm
        if norm is None:
            return torch.ones(z.channels), torch.zeros(z.channels)
        if run.mode is Mode.BATCH:
            norm.mean, norm.var = full_batch_statistics(z, run)
            norm.count = z.n * z.height * z.width
        gain = torch.rsqrt(norm.var.double() + norm.eps)
        if norm.weight is not None:
            gain = gain * norm.weight.detach()
        offset = -norm.mean.double() * gain
        if norm.bias is not None:
            offset = offset + norm.bias.detach()
        return gain.float(), offset.float()

    @override
    def backward(self, g: Lanes, run: PassContext, sums: Sums, wants_input: bool) -> Lanes | None:
        kept: _Kept = run.saved[self]
        slope, shift = self._through_normalization(kept, g, run, sums)
        dz = self._gradient_buffer(kept, run)
        shape = (kept.z.channels, kept.z.height, kept.z.width, int(self._pool), int(self._rectify))
        affine = (kept.gain, kept.offset, g.view(), kept.which, slope, shift)
        run.kernels.call("normalize_backward", kept.z.view(), *affine, dz.view(), kept.z.n, *shape)
        self._sum_gradients(kept.x, dz, None, run, sums)
        return self._input_gradient(kept.x, dz, run) if wants_input else None

    def _through_normalization(
        self, kept: _Kept, g: Lanes, run: PassContext, sums: Sums
    ) -> tuple[Tensor, Tensor]:
        """Add to the normalization's sums; return what goes through its statistics.

        With dy the gradient by the normalized output, N values in a channel and x̂ = (z − μ)/s, the
        gradient through the statistics is gain·(dy − Σdy/N − x̂ Σ(dy x̂)/N) = gain·dy + slope·z +
        shift.
        """
        nothing = torch.zeros(kept.z.channels)
        norm, z = self._norm, kept.z
        if norm is None:
            return nothing, nothing
        deviation = torch.rsqrt(norm.var.double() + norm.eps).float()
        found = torch.zeros(2, sums.wanted, z.channels, dtype=torch.float64)
        shape = (z.blocks, z.channels, z.height, z.width, int(self._pool), int(self._rectify))
        affine = (kept.gain, kept.offset, g.view(), kept.which, norm.mean, deviation)
        run.kernels.call("normalize_sums", z.view(), *affine, found, int(sums.wanted), *shape)
        for parameter, own in ((norm.weight, found[0]), (norm.bias, found[1])):
            total = sums.of(parameter)
            if total is not None:
                total += own
        if run.mode is not Mode.BATCH:
            return nothing, nothing
        values = z.n * z.height * z.width
        slope = -kept.gain.double() * deviation * found[0, 0] / values
        shift = -kept.gain.double() * found[1, 0] / values - slope * norm.mean.double()
        return slope.float(), shift.float()

    def _gradient_buffer(self, kept: _Kept, run: PassContext) -> Lanes:
        """Memory for the gradient by z, so that the input's gradient is a convolution of it."""
        x, z = kept.x, kept.z
        left = [(s + 2 * self.border - self._k) % self._stride for s in (x.height, x.width)]
        outside = self._k - 1 - self.border
        size = (z.height, z.width)
        return run.workspace.images("dz", z.n, z.channels, size, outside, self._stride, max(left))

    def _input_gradient(self, x: Lanes, dz: Lanes, run: PassContext) -> Lanes:
        """Convolve the output's gradient, with gaps and border, with the kernel turned around."""
        weight, _, packed = self._weights(run)
        turned = weight.flip(2, 3).transpose(0, 1).contiguous()
        size = (x.height, x.width)
        gx = run.workspace.images(f"{self._name}.gx", x.n, x.channels, size)
        shape = (x.blocks, dz.channels, x.channels, *size, self._k, 1)
        run.kernels.call("conv_forward", dz.corner(), turned, None, gx.view(), packed, *shape)
        return gx


def full_batch_statistics(z: Lanes, run: PassContext) -> tuple[Tensor, Tensor]:
    """Return mean and (biased) variance of each channel over all samples and positions.

    Sums are taken around the mean of the first block, so that nothing cancels.
    """
    pivot = torch.zeros(z.channels)
    size = (z.channels, z.height, z.width)
    for n in (min(z.n, run.workspace.lanes), z.n):
        sums = torch.zeros(2, z.channels, dtype=torch.float64)
        run.kernels.call("channel_sums", z.view(), pivot, sums, n, *size)
        means = sums / (n * z.height * z.width)
        centre, pivot = pivot.double(), (pivot.double() + means[0]).float()
    var = (means[1] - means[0].square()).clamp_min(0)
    return (centre + means[0]).float(), var.float()
