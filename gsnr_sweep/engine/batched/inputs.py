"""The training sets of M replicas in chunks [M, samples, ...], made once where they fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from gsnr_sweep.data.samples import Samples

Arrange = Callable[[Tensor], Tensor]
"""Brings stacked inputs [R, samples, ...] into the form that a network's passes want."""

KEPT_BYTES = 10**9
"""Standardized inputs up to this size are kept; they never change between steps."""


class StackedInputs:
    """M training sets of n samples each, `chunk` samples of every set at a time."""

    def __init__(
        self,
        train: Sequence[Samples],
        dtype: torch.dtype,
        groups: Sequence[slice],
        chunk: int,
        arrange: Arrange,
    ) -> None:
        """Standardize and stack all chunks if they fit into `KEPT_BYTES`, else at every pass.

        Args:
            train: The training sets, of equal size, on their device.
            dtype: Of the inputs.
            groups: Replicas that are worked on together.
            chunk: Samples of each set in a chunk; the last one may be smaller.
            arrange: Applied to the inputs of a chunk.
        """
        self._train, self._dtype, self._chunk = train, dtype, chunk
        self._groups, self._arrange = groups, arrange
        values = sum(samples.x.numel() for samples in train)
        self._kept: list[list[tuple[Tensor, Tensor]]] | None = None
        if values * dtype.itemsize <= KEPT_BYTES:
            self._kept = [list(self._made(group)) for group in range(len(groups))]

    def chunks(self, group: int) -> Iterable[tuple[Tensor, Tensor]]:
        """Go through the training sets of a group of R replicas.

        Returns:
            Chunk by chunk the arranged inputs [R, ...], and targets [R, samples] or
            [R, samples, outputs].
        """
        return self._made(group) if self._kept is None else self._kept[group]

    def _made(self, group: int) -> Iterator[tuple[Tensor, Tensor]]:
        train = self._train[self._groups[group]]
        sets = [samples.chunks(self._chunk, self._dtype) for samples in train]
        for batches in zip(*sets, strict=True):
            x, y = zip(*batches, strict=True)
            yield self._arrange(torch.stack(x)), torch.stack(y)


def groups_of(n_replicas: int, most: int) -> list[slice]:
    """Split the replicas into the fewest groups of at most `most`, as equal as can be."""
    size = even(n_replicas, most)
    return [slice(m, min(m + size, n_replicas)) for m in range(0, n_replicas, size)]


def even(n: int, most: int) -> int:
    """Return the size of the fewest parts of n with at most `most` each, as equal as can be."""
    return math.ceil(n / math.ceil(n / max(1, min(most, n))))
