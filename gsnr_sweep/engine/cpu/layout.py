"""Tensors whose innermost axis is samples side by side, and the memory that they lie in."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor, nn

from gsnr_sweep.engine.cpu.kernels import View


@dataclass(frozen=True)
class Lanes:
    """Images of n samples, in blocks of as many samples as a vector has lanes.

    Attributes:
        data: [blocks, channels, rows, columns, lanes], border included.
        n: Samples; lanes beyond them hold anything that is finite for finite weights.
        border: Rows and columns of zeros around each image.
        step: Distance between an image's pixels; those between are zeros.
        height: Of an image.
        width: Of an image.
    """

    data: Tensor
    n: int
    border: int
    height: int
    width: int
    step: int = 1

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return self.data.shape[0]

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.data.shape[1]

    @property
    def inside(self) -> Tensor:
        """[blocks, channels, height, width, lanes] without border and gaps."""
        rows = slice(self.border, self.border + (self.height - 1) * self.step + 1, self.step)
        columns = slice(self.border, self.border + (self.width - 1) * self.step + 1, self.step)
        return self.data[:, :, rows, columns]

    def view(self, border: int = 0) -> View:
        """Describe the pixels to a kernel, from as far outside the images as `border` says."""
        block, channel, row, column, lanes = self.data.stride()
        assert lanes == 1
        assert border <= self.border
        corner = (self.border - border) * (row + column)
        width = self.data.shape[-1]
        strides = (block, channel, row * self.step, column * self.step)
        at = self.data.data_ptr() + corner * self.data.element_size()
        return View(at, *(stride // width for stride in strides))

    def corner(self) -> View:
        """Describe the data to a kernel as it lies, border and gaps included."""
        return Lanes(self.data, self.n, 0, *self.data.shape[2:4]).view()


NOWHERE = View(None, 0, 0, 0, 0)
"""For a result that is not wanted."""


class Workspace:
    """Memory by name that is used again and again: fresh memory costs more than the arithmetic."""

    def __init__(self, lanes: int) -> None:
        """Start with none.

        Args:
            lanes: Samples in a vector.
        """
        self.lanes = lanes
        self._flat: dict[tuple[str, torch.dtype], Tensor] = {}
        self._cleared: dict[str, tuple[int, tuple[object, ...]]] = {}

    @property
    def bytes(self) -> int:
        """Memory taken so far."""
        return sum(flat.numel() * flat.element_size() for flat in self._flat.values())

    def take(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Return memory [*shape] with whatever is in it. An earlier tensor of that name is lost."""
        size = math.prod(shape)
        flat = self._flat.get((name, dtype))
        if flat is None or flat.numel() < size:
            flat = self._flat[name, dtype] = torch.zeros(size, dtype=dtype)
        return flat[:size].view(shape)

    def free(self, start: str) -> None:
        """Give back the memory whose names start so."""
        self._flat = {key: flat for key, flat in self._flat.items() if not key[0].startswith(start)}

    def images(
        self,
        name: str,
        n: int,
        channels: int,
        size: tuple[int, int],
        border: int = 0,
        step: int = 1,
        beyond: int = 0,
    ) -> Lanes:
        """Return memory for images, with zeros in border and gaps.

        Args:
            name: An earlier tensor of that name is lost.
            n: Samples.
            channels: Channels.
            size: Height and width.
            border: Width of the border.
            step: Distance between pixels.
            beyond: Further rows and columns of zeros at the lower and right end.
        """
        height, width = size
        rows, columns = ((s - 1) * step + 1 + 2 * border + beyond for s in size)
        blocks = math.ceil(n / self.lanes)
        data = self.take(name, (blocks, channels, rows, columns, self.lanes), torch.float32)
        self._clear_border(name, data, border, border + beyond, step)
        return Lanes(data, n, border, height, width, step)

    def pixels(self, name: str, images: Lanes) -> Tensor:
        """Return one byte for each value of `images`."""
        shape = (images.blocks, images.channels, images.height, images.width, self.lanes)
        return self.take(name, shape, torch.uint8)

    def _clear_border(self, name: str, data: Tensor, before: int, after: int, step: int) -> None:
        """Write zeros around the images and between pixels, unless they are there from last time.

        Nothing writes there: what was cleared stays so until the memory is laid out anew.
        """
        layout = (data.data_ptr(), data.shape[1:], before, after, step)
        cleared = self._cleared.get(name)
        if cleared is not None and cleared[1] == layout and cleared[0] >= len(data):
            return
        self._cleared[name] = (len(data), layout)
        if step > 1:
            data.zero_()
        for axis in (2, 3):
            if before:
                data.narrow(axis, 0, before).zero_()
            if after:
                data.narrow(axis, data.shape[axis] - after, after).zero_()


class MomentOrder(IntEnum):
    """How many kinds of sums over samples are wanted (see lanes.h)."""

    GRADIENT = 1  # Σ g
    SQUARES = 2  # and Σ g²
    SIGNS = 4  # and how many are positive, and negative


class Sums:
    """Float64 sums for each trained parameter, to which passes add."""

    def __init__(self, parameters: Iterable[nn.Parameter], wanted: MomentOrder) -> None:
        """Start at zero.

        Args:
            parameters: Those that are trained.
            wanted: Which sums.
        """
        self.wanted = wanted
        self._of: dict[Tensor, Tensor] = {
            p: torch.zeros(wanted, *p.shape, dtype=torch.float64, requires_grad=False)
            for p in parameters
        }

    def of(self, parameter: Tensor | None) -> Tensor | None:
        """Return a parameter's sums [wanted, *shape], or None if it is not trained."""
        return None if parameter is None else self._of.get(parameter)

    def flat(self) -> list[Tensor]:
        """Return each sum over all parameters, [P] each."""
        return [torch.cat([s[k].flatten() for s in self._of.values()]) for k in range(self.wanted)]

    def gradients(self) -> list[Tensor]:
        """Return Σ g of each parameter."""
        return [sums[0] for sums in self._of.values()]
