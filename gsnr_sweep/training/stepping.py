"""How replicas take a step: one after the other, or all at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from torch import Tensor

from gsnr_sweep.engine.batched import BatchedReplicas, row_views
from gsnr_sweep.gradients.parameters import Parameter
from gsnr_sweep.training.replica import Replica

Result = TypeVar("Result")


class ReplicaMap(Protocol):
    """Applies a function to every replica's number."""

    def __call__(self, work: Callable[[int], Result]) -> list[Result]:
        """Return the results in the order of the replicas."""
        ...


class Steps(Protocol):
    """Steps of all replicas.

    Which way a replica's gradient is computed decides its rounding: a measured step must go the
    same way as any other, or the schedule would change the training.
    """

    def take(self) -> None:
        """Take one step of every replica."""
        ...

    def prepare(self) -> None:
        """Get ready for `gradient` of every replica at its present weights."""
        ...

    def gradient(self, m: int) -> list[Tensor]:
        """Return the gradient along which replica m steps; replicas may be asked side by side."""
        ...


class SeparateSteps:
    """Each replica for itself; see `Steps`."""

    def __init__(self, replicas: Sequence[Replica], lr: float, each: ReplicaMap) -> None:
        """Let replicas step with learning rate `lr`, those side by side that `each` maps so."""
        self._replicas, self._lr, self._each = replicas, lr, each

    def take(self) -> None:
        """See `Steps`."""
        self._each(lambda m: self._replicas[m].descend(self.gradient(m), self._lr))

    def prepare(self) -> None:
        """See `Steps`: nothing is to be done."""

    def gradient(self, m: int) -> list[Tensor]:
        """See `Steps`."""
        return self._replicas[m].gradient()


class BatchedSteps:
    """All replicas at once; see `Steps`."""

    def __init__(
        self,
        replicas: Sequence[Replica],
        lr: float,
        stacked: BatchedReplicas,
        parameters: Sequence[Parameter],
    ) -> None:
        """Move the replicas' weights into `stacked`."""
        self._lr, self._stacked, self._parameters = lr, stacked, parameters
        self._gradients: Tensor | None = None
        for m, replica in enumerate(replicas):
            rows = (stacked.master[m], stacked.working[m])
            replica.live_in(*(row_views(row, parameters) for row in rows))

    def take(self) -> None:
        """See `Steps`."""
        self._stacked.step(self._lr)

    def prepare(self) -> None:
        """See `Steps`."""
        self._gradients = self._stacked.gradient()

    def gradient(self, m: int) -> list[Tensor]:
        """See `Steps`."""
        assert self._gradients is not None
        return row_views(self._gradients[m], self._parameters)
