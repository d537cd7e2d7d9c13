"""What the ways to the gradients of M replicas' summed losses have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from gsnr_sweep.data.samples import Samples
from gsnr_sweep.engine.chunking import even
from gsnr_sweep.engine.cpu.kernels import Kernels
from gsnr_sweep.gradients.parameters import Parameter
from gsnr_sweep.losses.loss import Loss

KEPT_BYTES = 10**9
"""Standardized inputs up to this size are kept; they never change between steps."""


class SummedGradient(ABC):
    """A way to the gradients of the replicas' summed losses.

    Attributes:
        groups: Replicas in a pass; they never depend on the number of threads.
    """

    groups: list[slice]

    def __init__(
        self,
        model: nn.Module,
        train: Sequence[Samples],
        loss: Loss,
        working: Tensor,
        parameters: Sequence[Parameter],
        chunk: int,
        kernels: Kernels | None = None,
    ) -> None:
        """Stack the training sets, once if they fit into `KEPT_BYTES`, else at every pass.

        Args:
            model: The prepared network, of a kind that this way is for.
            train: M training sets of equal size, on their device.
            loss: Of each sample.
            working: [M, P] trained weights in the run's dtype; read at every call.
            parameters: Their places in a row.
            chunk: Samples of each training set in a pass, at most.
            kernels: Compiled ones, used where they fit.
        """
        self._train, self._loss, self._kernels = train, loss, kernels
        self._working, self._parameters = working, parameters
        self._totals = [torch.zeros_like(working, dtype=torch.float64)]
        self._chunk, self.groups = self._plan(model, chunk)
        self._kept: list[list[tuple[Tensor, Tensor]]] | None = None
        if sum(samples.x.numel() for samples in train) * working.dtype.itemsize <= KEPT_BYTES:
            self._kept = [list(self._stacked(rows)) for rows in self.groups]

    @torch.no_grad()
    def work(self, group: int) -> None:
        """Go through the training sets of a group of replicas; groups may be worked on at once."""
        rows = self.groups[group]
        totals = [total[rows].zero_() for total in self._totals]
        chunks: Iterable[tuple[Tensor, Tensor]]
        chunks = self._stacked(rows) if self._kept is None else self._kept[group]
        for x, y in chunks:
            self._add(group, x, y, totals)

    @torch.no_grad()
    def result(self) -> Tensor:
        """Return the gradients, [M, P] float64, after all groups have been worked on."""
        return self._totals[0].clone()

    def _stacked(self, rows: slice) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield arranged inputs [R, ...], and targets [R, samples] or [R, samples, outputs]."""
        sets = [samples.chunks(self._chunk, self._working.dtype) for samples in self._train[rows]]
        for batches in zip(*sets, strict=True):
            x, y = zip(*batches, strict=True)
            yield self._arranged(torch.stack(x)), torch.stack(y)

    def _arranged(self, x: Tensor) -> Tensor:
        """Bring stacked inputs [R, samples, ...] into the form that the passes want."""
        return x

    @abstractmethod
    def _plan(self, model: nn.Module, chunk: int) -> tuple[int, list[slice]]:
        """Prepare the network; return the samples of each set and the replicas in a pass."""

    @abstractmethod
    def _add(self, group: int, x: Tensor, y: Tensor, totals: list[Tensor]) -> None:
        """Add a chunk's share to the rows of a group in the totals."""


def groups_of(n_replicas: int, most: int) -> list[slice]:
    """Split the replicas into the fewest groups of at most `most`, as equal as can be."""
    size = even(n_replicas, most)
    return [slice(m, min(m + size, n_replicas)) for m in range(0, n_replicas, size)]
