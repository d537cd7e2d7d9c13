"""How a replica's network goes over samples: what every way must give."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Protocol

from torch import Tensor

from gsnr_sweep.data.samples import Samples
from gsnr_sweep.gradients import Moments
from gsnr_sweep.gradients.moments import OnChunk


class Engine(Protocol):
    """Passes of one network over sets of samples, chunk by chunk, at its present weights."""

    def gradient(self, samples: Samples) -> list[Tensor]:
        """Return the gradient of the summed loss, float64, one tensor a trained parameter.

        With batch normalization it goes through the statistics of the whole set.
        """
        ...

    def fix_statistics(self, samples: Samples) -> None:
        """Normalize with these samples' statistics at the present weights from now on."""
        ...

    def moments(self, samples: Samples, on_chunk: OnChunk, signs: bool) -> Moments:
        """Return the moments of per-sample gradients, statistics fixed.

        Args:
            samples: The set.
            on_chunk: Called with outputs, targets and losses of each chunk.
            signs: Whether to count positive and negative gradients.
        """
        ...

    def outputs(self, samples: Samples) -> Iterator[tuple[Tensor, Tensor]]:
        """Go through the set: outputs and targets of each chunk, statistics fixed."""
        ...


def chunks_of(n: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield first and one past the last of n samples, `size` at a time."""
    for k in range(math.ceil(n / size)):
        yield k * size, min((k + 1) * size, n)
