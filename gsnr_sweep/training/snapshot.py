"""What one measured step leaves behind: all that the measures are functions of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol

from torch import Tensor

from gsnr_sweep.gradients.parameters import Parameter, layers_of

GRADIENT_RESOLUTION = {"float32": 16 * 2.0**-24, "float64": 256 * 2.0**-53}
"""Relative rounding of E[g²] − E[g]² by the dtype that per-sample gradients are computed in."""


@dataclass(frozen=True)
class After:
    """Losses after some steps from θ_t.

    Attributes:
        train_loss: [M] L[D].
        test_loss: [M] L[D'].
        test_loss_change: [n'] change of each test sample's loss since θ_t, summed over the
            replicas.
    """

    train_loss: Tensor
    test_loss: Tensor
    test_loss_change: Tensor


@dataclass(frozen=True)
class Look:
    """Weights and gradients of all replicas before a step that was measured.

    Attributes:
        step: Steps of the training rule before.
        weights: [M, P].
        gradient: [M, P] what a step of full-batch gradient descent goes along.
    """

    step: int
    weights: Tensor
    gradient: Tensor


class Earlier(Protocol):
    """What a run measured at an earlier epoch."""

    @property
    def epoch(self) -> float:
        """Passes over the training set before."""

    @property
    def step(self) -> int | None:
        """The rule's own steps before; None where they are the epochs."""

    @property
    def metrics(self) -> Mapping[str, float]:
        """All finite numbers by metric name."""


@dataclass(frozen=True)
class Snapshot:
    """Step t of M replicas with P parameters, trained on n samples each.

    Attributes:
        epoch: t, the number of passes over the training set before; a fraction within one.
        step: The number of the rule's own steps before.
        is_end: Whether training ends here.
        n: Size of a training set.
        lr: Learning rate λ.
        variance: ``plugin`` (1/n) or ``unbiased`` (1/(n − 1)) variance of per-sample gradients.
        gradient_sum: [M, P] Σ_i g_i over each replica's own training set.
        gradient_square_sum: [M, P] Σ_i g_i².
        positive: [M, P] number of samples with g_i > 0, for measures that want signs.
        negative: [M, P] number of samples with g_i < 0, for measures that want signs.
        step_sq_norm: [M] ‖g‖² of the gradient that was stepped along.
        train_loss: [M] L[D] before the step.
        train_loss_next: [M] L[D] after it.
        test_loss: [M] L[D'] before the step.
        test_loss_next: [M] L[D'] after it.
        test_loss_change: [n'] change of each test sample's loss, summed over the replicas.
        train_accuracy: [M], NaN for a regression.
        test_accuracy: [M], NaN for a regression.
        resolution: Variances below this share of E[g²] cannot be told from zero.
        parameters: The parameter tensors, in order.
        followed: Those of them that are followed one by one (``measures.parameters``).
        weights: [M, P] θ_t, for measures that want it.
        step_gradient: [M, P] the gradient that was stepped along, for measures that want it.
        next_gradient: [M, P] the same after the step, for measures that want it.
        probed: What the measures' probes found, by measure, one entry a replica.
        own: Losses after the rule's own next steps, for measures that want them: ``steps`` (as many
            as `measures.own_steps`), ``epoch`` (a pass over the training set), and
            ``full_batch``, after one step u_j = p_j g_j along the training loss's gradient, where p
            is known.
        milestones: [M] by mark of `training.milestones`, steps of the rule taken when a replica was
            there for the first time, judged after each epoch; NaN if it has not been. For
            measures that want them.
        earlier: What the run measured before, in the order of the epochs.
        previous: Weights and gradients at the measured step before this one, for measures that want
            them; None at the first one.
        pool: Number N of samples that the training sets were drawn from, without replacement within
            a set; None where every set is a fresh draw, or N is not known.
        preconditioner: [M, P] p_m,j of the rule's step u_j = p_j g_j, or [M, 1] where all are the
            same; for measures that want it, and None where it is not known.
    """

    epoch: float
    n: int
    lr: float
    variance: Literal["plugin", "unbiased"]
    gradient_sum: Tensor
    gradient_square_sum: Tensor
    positive: Tensor | None
    negative: Tensor | None
    step_sq_norm: Tensor
    train_loss: Tensor
    train_loss_next: Tensor
    test_loss: Tensor
    test_loss_next: Tensor
    test_loss_change: Tensor
    train_accuracy: Tensor
    test_accuracy: Tensor
    resolution: float = GRADIENT_RESOLUTION["float32"]
    parameters: tuple[Parameter, ...] = ()
    followed: tuple[Parameter, ...] = ()
    weights: Tensor | None = None
    step_gradient: Tensor | None = None
    next_gradient: Tensor | None = None
    probed: Mapping[str, list[Any]] = field(default_factory=dict)
    own: Mapping[str, After] = field(default_factory=dict)
    preconditioner: Tensor | None = None
    step: int = 0
    is_end: bool = False
    milestones: Mapping[str, Tensor] = field(default_factory=dict)
    earlier: Sequence[Earlier] = ()
    previous: Look | None = None
    pool: int | None = None

    @property
    def after(self) -> After:
        """Losses after the measured step of gradient descent."""
        return After(self.train_loss_next, self.test_loss_next, self.test_loss_change)

    @cached_property
    def layers(self) -> dict[str, slice]:
        """Places of the modules that own parameters, in order, by dotted name."""
        return layers_of(self.parameters)

    @cached_property
    def gradient(self) -> Tensor:
        """[M, P] average gradient g_m,j of each replica (5)."""
        return self.gradient_sum / self.n

    @cached_property
    def plugin_variance(self) -> Tensor:
        """[M, P] variance of per-sample gradients with 1/n."""
        mean_square = self.gradient_square_sum / self.n
        return (mean_square - self.gradient.square()).clamp_min_(0)

    @property
    def gradient_variance(self) -> Tensor:
        """[M, P] variance ρ²_m,j of per-sample gradients, as configured."""
        if self.variance == "plugin":
            return self.plugin_variance
        return self.plugin_variance * (self.n / (self.n - 1))

    @cached_property
    def alive(self) -> Tensor:
        """[M, P] whether a parameter's per-sample gradients vary at all.

        A variance below the rounding of E[g²] cannot be told from zero.
        """
        return self.plugin_variance > self.resolution * self.gradient_square_sum / self.n

    @property
    def is_finite(self) -> bool:
        """Whether all losses around the step are finite numbers."""
        losses = (self.train_loss, self.train_loss_next, self.test_loss, self.test_loss_next)
        return all(bool(loss.isfinite().all()) for loss in losses)
