"""How replicas take a step: one after the other, or all at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

from torch import Tensor
from typing_extensions import override

from gsnr_sweep.engine.batched import BatchedReplicas, StackedMiniBatches
from gsnr_sweep.gradients.parameters import Parameter, row_views
from gsnr_sweep.training.joint_rule import JointRule
from gsnr_sweep.training.replica import Replica
from gsnr_sweep.training.rules import Rule

Result = TypeVar("Result")


class ReplicaMap(Protocol):
    """Applies a function to every replica's number."""

    def __call__(self, work: Callable[[int], Result]) -> list[Result]:
        """Return the results in the order of the replicas."""
        ...


class Steps:
    """Steps of all replicas, each replica for itself.

    Which way a replica's gradient is computed decides its rounding: a measured step must go the
    same way as any other, or the schedule would change the training.

    Attributes:
        each: Works on replicas side by side.
    """

    def __init__(self, replicas: Sequence[Replica], lr: float, each: ReplicaMap) -> None:
        """Let replicas step with learning rate `lr`, those side by side that `each` maps so."""
        self.each, self._replicas, self._lr = each, replicas, lr

    def take(self, count: int = 1) -> None:
        """Take so many steps of every replica."""
        for _ in range(count):
            self.each(lambda m: self._replicas[m].descend(self.gradient(m), self._lr))

    def prepare(self) -> None:
        """Get ready for `gradient` of every replica at its present weights."""

    def gradient(self, m: int) -> list[Tensor]:
        """Return the gradient along which replica m steps; replicas may be asked side by side."""
        return self._replicas[m].gradient()


class RuleSteps(Steps):
    """Steps by rules of their own; a measured step of gradient descent is virtual."""

    def __init__(
        self,
        replicas: Sequence[Replica],
        lr: float,
        each: ReplicaMap,
        rules: Sequence[Rule],
        stacked: StackedMiniBatches | None = None,
    ) -> None:
        """Let each replica's weights move by its rule.

        Args:
            replicas: All of them.
            lr: Of the measured step.
            each: Works on replicas side by side.
            rules: One a replica.
            stacked: Gives the gradients of several replicas at once; their weights live there.
        """
        super().__init__(replicas, lr, each)
        self._rules, self._stacked = rules, stacked
        self._joint: dict[int, tuple[int, JointRule]] = {}
        if stacked is not None:
            stacked.keep_inputs()
            for number, rows in enumerate(stacked.groups):
                self._joint[rows.start] = (number, JointRule(rules[rows]))

    @override
    def take(self, count: int = 1) -> None:
        self.each(partial(self._take, count))

    def _take(self, count: int, m: int) -> None:
        """Take the steps of a replica; where several go at once, the first takes all of theirs."""
        if self._stacked is None:
            self._rules[m].take(count)
        elif m in self._joint:
            group, rule = self._joint[m]
            rule.take(count, partial(self._stacked.gradients, group))


class BatchedSteps(Steps):
    """Steps of all replicas at once."""

    def __init__(
        self,
        replicas: Sequence[Replica],
        lr: float,
        each: ReplicaMap,
        stacked: BatchedReplicas,
        parameters: Sequence[Parameter],
    ) -> None:
        """Move the replicas' weights into `stacked`."""
        super().__init__(replicas, lr, each)
        self._stacked, self._parameters = stacked, parameters
        for m, replica in enumerate(replicas):
            rows = (stacked.master[m], stacked.working[m])
            replica.live_in(*(row_views(row, parameters) for row in rows))

    @override
    def take(self, count: int = 1) -> None:
        for _ in range(count):
            self._stacked.step(self._lr)

    @override
    def prepare(self) -> None:
        self._gradients = self._stacked.gradient()

    @override
    def gradient(self, m: int) -> list[Tensor]:
        return row_views(self._gradients[m], self._parameters)
