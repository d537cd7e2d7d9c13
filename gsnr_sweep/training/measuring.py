"""What is measured of one replica at an epoch: a step of gradient descent, and the rule's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from gsnr_sweep.data.samples import Samples
from gsnr_sweep.gradients.parameters import Parameter
from gsnr_sweep.training.replica import Losses, Replica
from gsnr_sweep.training.requirements import Requirements
from gsnr_sweep.training.rules import Rule
from gsnr_sweep.training.settings import TrainingSettings
from gsnr_sweep.training.stepping import Steps

_OWN = ("steps", "epoch", "full_batch")


@dataclass(frozen=True)
class MeasuredStep:
    """‖g‖² of one replica's step, losses around it, and what is wanted beside, by name.

    Attributes:
        own: Losses of training set and test set after the rule's own steps.
        preconditioner: Of the rule, as `Rule.preconditioner` has it.
    """

    sq_norm: Tensor
    train: Losses
    train_next: Losses
    test: Losses
    test_next: Losses
    probed: dict[str, Any]
    rows: dict[str, Tensor]
    own: dict[str, tuple[Losses, Losses]] = field(default_factory=dict)
    preconditioner: Tensor | None = None


class Measuring:
    """Takes the steps that are measured, and takes back those that are not the training's."""

    def __init__(
        self,
        settings: TrainingSettings,
        replicas: Sequence[Replica],
        rules: Sequence[Rule],
        test: Samples,
        followed: tuple[Parameter, ...],
    ) -> None:
        """Measure these replicas.

        Args:
            settings: Learning rate and own steps.
            replicas: All of them.
            rules: One a replica; none with gradient descent.
            test: The test set.
            followed: Parameters for probes.
        """
        self._settings, self._replicas, self._rules = settings, replicas, rules
        self._test, self._followed = test, followed

    def measure(
        self, moments: dict[str, Tensor], steps: Steps, wanted: Requirements, m: int
    ) -> MeasuredStep:
        """Measure a replica's step from its present weights.

        Args:
            moments: Tables of all replicas' moments, [M, P] each; row m is filled.
            steps: Gives the gradient that gradient descent steps along.
            wanted: What measures want beyond the usual.
            m: The replica's number.
        """
        replica = self._replicas[m]
        if not self._rules:
            return self._measured(replica, moments, steps, wanted, m)
        with replica.unmoved():
            measured = self._measured(replica, moments, steps, wanted, m)
        return self._with_own_steps(measured, m) if wanted.own_steps else measured

    def look(self, steps: Steps, m: int) -> tuple[Tensor, Tensor]:
        """Return a replica's weights and gradient [P] as a measured step would find them."""
        replica = self._replicas[m]
        with replica.unmoved():
            replica.fix_statistics()
            return flat(replica.weights).double(), flat(steps.gradient(m))

    def _with_own_steps(self, measured: MeasuredStep, m: int) -> MeasuredStep:
        """Add the losses after the rule's own next steps, which are taken and taken back."""
        replica, rule, settings = self._replicas[m], self._rules[m], self._settings
        found: dict[str, tuple[Losses, Losses]] = {}
        counts = {"steps": settings.own_steps, "epoch": settings.steps_an_epoch}
        with rule.excursion():
            taken = 0
            for name, count in sorted(counts.items(), key=lambda item: item[1]):
                if count > taken or not found:
                    rule.take(count - taken)
                    taken = count
                    both = self._losses(replica)
                found[name] = both
        gradient = replica.gradient()
        rates = rule.preconditioner(gradient)
        if rates is not None:
            found["full_batch"] = self._after_full_batch(measured, rates, gradient, m)
        return replace(measured, own=found, preconditioner=rates)

    def _after_full_batch(
        self, measured: MeasuredStep, rates: Tensor, gradient: Sequence[Tensor], m: int
    ) -> tuple[Losses, Losses]:
        """Return the losses after one step u_j = p_j g_j along the training loss's gradient."""
        if len(rates) == 1 and float(rates) == self._settings.lr:
            return measured.train_next, measured.test_next  # the measured step itself
        replica = self._replicas[m]
        with replica.unmoved():
            replica.step_along(rates * flat(gradient))
            return self._losses(replica)

    def _losses(self, replica: Replica) -> tuple[Losses, Losses]:
        replica.fix_statistics()
        return replica.losses(replica.train), replica.losses(self._test)

    def _measured(
        self,
        replica: Replica,
        moments: dict[str, Tensor],
        steps: Steps,
        wanted: Requirements,
        m: int,
    ) -> MeasuredStep:
        replica.fix_statistics()
        found, train = replica.moments(wanted.signs)
        for kind, table in moments.items():
            table[m] = getattr(found, kind)
        test = replica.losses(self._test)
        probed = {name: probe(replica, self._followed) for name, probe in wanted.probes.items()}
        rows: dict[str, Tensor] = {}
        if wanted.weights or wanted.previous:
            rows["weights"] = flat(replica.weights).double()
        gradient, lr = steps.gradient(m), self._settings.lr
        if wanted.gradient_change or wanted.previous:
            rows["step_gradient"] = flat(gradient)
        own = self._own_descent(replica) if wanted.own_steps and not self._rules else {}
        replica.descend(gradient, lr)
        if wanted.gradient_change:
            rows["next_gradient"] = flat(replica.gradient())
        train_next, test_next = self._losses(replica)
        return MeasuredStep(
            torch.stack([g.square().sum() for g in gradient]).sum(),
            train,
            train_next,
            test,
            test_next,
            probed,
            rows,
            # Of gradient descent the measured step is the rule's own, and an epoch.
            dict.fromkeys(_OWN, (train_next, test_next)) | own if wanted.own_steps else {},
            torch.tensor([lr], dtype=torch.float64) if wanted.own_steps else None,
        )

    def _own_descent(self, replica: Replica) -> dict[str, tuple[Losses, Losses]]:
        """Return the losses after several steps of gradient descent, which are taken back."""
        if self._settings.own_steps == 1:
            return {}
        with replica.unmoved():
            for _ in range(self._settings.own_steps):
                replica.descend(replica.gradient(), self._settings.lr)
            return {"steps": self._losses(replica)}


def flat(tensors: Sequence[Tensor]) -> Tensor:
    """Return tensors as one vector in the CPU's memory."""
    return torch.cat([tensor.flatten() for tensor in tensors]).cpu()
