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
class Kept:
    """A block's forward pass.

    Attributes:
        x: Input.
        z: Output of the convolution.
        which: Which of four positions pooling took.
        gain: By channel; the activation is that of gain·z + offset.
        offset: By channel.
    """

    x: Lanes | None
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

    @property
    def norm(self) -> FullBatchNorm | None:
        """Its batch normalization."""
        return self._norm

    @override
    def forward(self, x: Lanes, run: PassContext, border: int) -> Lanes:
        z = self.convolve(x, run)
        if self._norm is not None and run.mode is Mode.BATCH:
            sums = ChannelSums(z.channels)
            sums.add(z, run)
            sums.set_statistics(self._norm)
        return self.activate(z, run, border, x)

    def activate(self, z: Lanes, run: PassContext, border: int, x: Lanes | None = None) -> Lanes:
        """Return what follows of the convolution's output; keep what going backward needs.

        Args:
            z: Output of the convolution.
            run: The pass.
            border: Wanted by the next stage.
            x: Input of the convolution; None where `convolution_backward` is given it.
        """
        gain, offset = self._affine(z.channels)
        size = (z.height // 2, z.width // 2) if self._pool else (z.height, z.width)
        y = run.workspace.images(f"{self._name}.y", z.n, z.channels, size, border)
        which = run.workspace.pixels(f"{self._name}.which", y) if self._pool else None
        shape = (z.blocks, z.channels, y.height, y.width)
        acts = (int(self._pool), int(self._rectify))
        run.kernels.call("normalize", z.view(), gain, offset, y.view(), which, *shape, *acts)
        run.saved[self] = Kept(x, z, which, gain, offset)
        return y

    def convolve(self, x: Lanes, run: PassContext, into: Lanes | None = None) -> Lanes:
        """Return the convolution's output, written where it is wanted if that is said."""
        channels = self._conv.out_channels
        size = tuple(
            (s + 2 * self.border - self._k) // self._stride + 1 for s in (x.height, x.width)
        )
        name = f"{self._name}.z"
        z = into or run.workspace.images(name, x.n, channels, (size[0], size[1]))
        weight, bias, packed = self._weights(run)
        shape = (x.blocks, x.channels, channels, *size, self._k, self._stride)
        run.kernels.call(
            "conv_forward", x.view(self.border), weight, bias, z.view(), packed, *shape
        )
        return z

    def _affine(self, channels: int) -> tuple[Tensor, Tensor]:
        """Return gain and offset of the normalization by channel."""
        norm = self._norm
        if norm is None:
            return torch.ones(channels), torch.zeros(channels)
        gain = torch.rsqrt(norm.var.double() + norm.eps)
        if norm.weight is not None:
            gain = gain * norm.weight.detach()
        offset = -norm.mean.double() * gain
        if norm.bias is not None:
            offset = offset + norm.bias.detach()
        return gain.float(), offset.float()

    @override
    def backward(self, g: Lanes, run: PassContext, sums: Sums, wants_input: bool) -> Lanes | None:
        kept = self.kept(run)
        found = self.normalization_sums(g, run, sums)
        if self._norm is not None and run.mode is Mode.BATCH:
            run.totals[self._norm] = found
        assert kept.x is not None
        dz = self.through_normalization(g, kept.x, run)
        return self.convolution_backward(dz, kept.x, run, sums, wants_input)

    def kept(self, run: PassContext) -> Kept:
        """Return what it kept of a pass."""
        found: Kept = run.saved[self]
        return found

    def normalization_sums(self, g: Lanes, run: PassContext, sums: Sums) -> Tensor:
        """Add to the sums of the normalization's own parameters.

        Returns:
            [2, channels] Σ dy x̂ and Σ dy over the pass's samples and positions, with dy the
            gradient by the normalized output; zeros without normalization.
        """
        kept = self.kept(run)
        norm, z = self._norm, kept.z
        found = torch.zeros(2, sums.wanted, z.channels, dtype=torch.float64)
        if norm is None:
            return found[:, 0]
        deviation = torch.rsqrt(norm.var.double() + norm.eps).float()
        shape = (z.blocks, z.channels, z.height, z.width, int(self._pool), int(self._rectify))
        affine = (kept.gain, kept.offset, g.view(), kept.which, norm.mean, deviation)
        run.kernels.call("normalize_sums", z.view(), *affine, found, int(sums.wanted), *shape)
        for parameter, own in ((norm.weight, found[0]), (norm.bias, found[1])):
            total = sums.of(parameter)
            if total is not None:
                total += own
        return found[:, 0]

    def through_normalization(self, g: Lanes, x: Lanes, run: PassContext) -> Lanes:
        """Return the gradient by the convolution's output, with a border as its input's needs it.

        With dy the gradient by the normalized output, N values of the whole set in a channel and
        x̂ = (z − μ)/s, that through the statistics is gain·(dy − Σdy/N − x̂ Σ(dy x̂)/N) = gain·dy +
        slope·z + shift. The sums are those of `PassContext.totals`, and zero if it has none.
        """
        kept = self.kept(run)
        z, norm = kept.z, self._norm
        slope = shift = torch.zeros(z.channels)
        if norm is not None and (total := run.totals.get(norm)) is not None:
            deviation = torch.rsqrt(norm.var.double() + norm.eps).float()
            exact = -kept.gain.double() * deviation * total[0] / norm.count
            shift = -kept.gain.double() * total[1] / norm.count - exact * norm.mean.double()
            slope, shift = exact.float(), shift.float()
        dz = self._gradient_buffer(x, z, run)
        shape = (z.channels, z.height, z.width, int(self._pool), int(self._rectify))
        affine = (kept.gain, kept.offset, g.view(), kept.which, slope, shift)
        run.kernels.call("normalize_backward", z.view(), *affine, dz.view(), z.n, *shape)
        return dz

    def convolution_backward(
        self, dz: Lanes, x: Lanes, run: PassContext, sums: Sums, wants_input: bool
    ) -> Lanes | None:
        """Add to the sums of the convolution's parameters; return the gradient by its input.

        Args:
            dz: As `through_normalization` returned it.
            x: Input.
            run: The pass.
            sums: Of the network's trained parameters.
            wants_input: Whether stages before this one are trained.
        """
        self._sum_gradients(x, dz, None, run, sums)
        return self._input_gradient(x, dz, run) if wants_input else None

    def _gradient_buffer(self, x: Lanes, z: Lanes, run: PassContext) -> Lanes:
        """Memory for the gradient by z, so that the input's gradient is a convolution of it."""
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


class ChannelSums:
    """Sums of each channel's values and their squares, to which passes add.

    They are taken around the mean of the first block of samples, so that nothing cancels.
    """

    def __init__(self, channels: int) -> None:
        """Start at zero."""
        self._pivot: Tensor | None = None
        self._sums = torch.zeros(2, channels, dtype=torch.float64)
        self._count = 0

    def add(self, z: Lanes, run: PassContext) -> None:
        """Add a pass's samples and positions."""
        if self._pivot is None:
            first = min(z.n, run.workspace.lanes)
            nothing = torch.zeros(z.channels)
            total = self._around(nothing, z, first, run)
            self._pivot = (total[0] / (first * z.height * z.width)).float()
        self._sums += self._around(self._pivot, z, z.n, run)
        self._count += z.n * z.height * z.width

    @staticmethod
    def _around(pivot: Tensor, z: Lanes, n: int, run: PassContext) -> Tensor:
        sums = torch.zeros(2, z.channels, dtype=torch.float64)
        run.kernels.call("channel_sums", z.view(), pivot, sums, n, z.channels, z.height, z.width)
        return sums

    def set_statistics(self, norm: FullBatchNorm) -> None:
        """Give a layer mean and (biased) variance of each channel."""
        assert self._pivot is not None
        means = self._sums / self._count
        norm.mean = (self._pivot.double() + means[0]).float()
        norm.var = (means[1] - means[0].square()).clamp_min(0).float()
        norm.count = self._count
