"""A set of samples, kept as it was drawn and standardized as it is used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Standardization:
    """(x / scale − mean) / std, by channel.

    Attributes:
        mean: Mean of each channel after scaling; empty for none.
        std: Standard deviation of each channel after scaling; empty for none.
        scale: 255 for pixels in uint8, else 1.
    """

    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    scale: float = 1.0

    def __call__(self, x: Tensor) -> Tensor:
        """Standardize a floating-point batch [N, C, ...]."""
        if not self.mean:
            return x if self.scale == 1.0 else x / self.scale
        shape = (1, -1, *(1 for _ in x.shape[2:]))
        gain, offset = (values.to(x) for values in self.by_channel(x.shape[1]))
        return x * gain.view(shape) + offset.view(shape)

    def by_channel(self, channels: int) -> tuple[Tensor, Tensor]:
        """Return gain and offset [channels]: a standardized value is gain · x + offset."""
        if not self.mean:
            return torch.full((channels,), 1 / self.scale), torch.zeros(channels)
        gain = torch.tensor([1 / (self.scale * s) for s in self.std])
        return gain, torch.tensor([-m / s for m, s in zip(self.mean, self.std, strict=True)])


@dataclass(frozen=True)
class Samples:
    """N samples (x_i, y_i).

    Pixels stay in uint8, four times smaller than float32, and are standardized chunk by chunk:
    next to a pass through a network that costs nothing, and ten training sets of 15,000 digits
    fit into 120 MB.

    Attributes:
        x: [N, ...] inputs, uint8 or floating point, or int64 for tokens, which stay what they are.
        y: [N] class labels (int64), or [N, outputs] targets (float64).
        standardization: Applied to every batch of x.
        clean: Number of leading samples before the confusion set's; None without a confusion set,
            and of batches and parts, which do not say.
    """

    x: Tensor
    y: Tensor
    standardization: Standardization = Standardization()
    clean: int | None = None

    def __len__(self) -> int:
        return len(self.x)

    def to(self, device: torch.device) -> Samples:
        """Copy the samples to a device."""
        return replace(self, x=self.x.to(device), y=self.y.to(device))

    @property
    def clean_part(self) -> Samples:
        """The samples without the confusion set: all of them where there is none."""
        return self if self.clean is None else next(self.parts(self.clean))

    def batch(self, start: int, stop: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Return standardized inputs and targets of the samples from `start` to `stop`."""
        x, y = self.x[start:stop], self.y[start:stop]
        return (x if x.dtype is torch.int64 else self.standardization(x.to(dtype))), y

    def parts(self, size: int) -> Iterator[Samples]:
        """Go through the samples in order, `size` at a time."""
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            yield Samples(self.x[part], self.y[part], self.standardization)

    def chunks(self, size: int, dtype: torch.dtype) -> Iterator[tuple[Tensor, Tensor]]:
        """Do so with standardized inputs and targets."""
        for part in self.parts(size):
            yield part.batch(0, size, dtype)
