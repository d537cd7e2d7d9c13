"""Settings of the training of M replicas."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from gsnr_sweep.engine.settings import EngineSettings
from gsnr_sweep.losses.settings import LossConfig
from gsnr_sweep.settings import unset


@dataclass(frozen=True)
class RuleSettings:
    """How weights move where that is not full-batch gradient descent.

    Attributes:
        name: ``sgd``, ``adam`` and so on.
        optimizer: Dotted path of the optimizer's class.
        args: Its arguments besides the learning rate.
        batch_size: Samples in a mini-batch.
        schedule: Of the learning rate, by name or dotted path.
        schedule_args: Its arguments.
        clip_norm: Largest norm of a mini-batch's gradient; None for any.
        lr: Learning rate at the beginning.
        seed: Of the run.
        epochs: That the training is meant to last; the schedule goes no further.
    """

    name: str
    optimizer: str
    batch_size: int
    lr: float
    seed: int
    args: Mapping[str, Any] = field(default_factory=dict)
    schedule: str = "constant"
    schedule_args: Mapping[str, Any] = field(default_factory=dict)
    clip_norm: float | None = None
    epochs: int = 1

    def steps_an_epoch(self, n: int) -> int:
        """Return the mini-batches in a pass over n samples."""
        return math.ceil(n / self.batch_size)

    def has_lone_sample(self, n: int) -> bool:
        """Tell whether a mini-batch of n samples' epoch has a single sample."""
        return 1 in (self.batch_size, n % self.batch_size)

    @property
    def where(self) -> str:
        """Key and value that name the optimizer."""
        return f"optim._target_={self.optimizer}"

    @property
    def where_schedule(self) -> str:
        """Key and value that name the schedule."""
        return f"optim.schedule={self.schedule}"


@dataclass
class StopConfig:
    """When training ends before its last epoch (section ``stop``)."""

    train_loss: float | None = unset(
        "stop after the first epoch at which the training loss of every replica is at most this"
    )
    train_error: float | None = unset(
        "stop after the first epoch at which the share of misclassified training samples of every "
        "replica is at most this; with stop.train_loss: both"
    )

    @property
    def rules(self) -> tuple[str, ...]:
        """The keys that are set."""
        both = {"stop.train_loss": self.train_loss, "stop.train_error": self.train_error}
        return tuple(key for key, value in both.items() if value is not None)


@dataclass(frozen=True)
class TrainingSettings:
    """How M replicas are trained, and when they are measured.

    Attributes:
        n_sets: M, the number of training sets and so of replicas.
        epochs: Passes over the training set; with full batches a step is an epoch.
        measured_epochs: Epochs to measure at; fractions of an epoch are steps within it.
        lr: Learning rate λ.
        dtype: ``float32`` or ``float64``, of weights and activations.
        variance: ``plugin`` (1/n) or ``unbiased`` (1/(n − 1)) variance of per-sample gradients.
        followed: Layers or parameters to follow one by one.
        threads: Replicas worked on side by side; None for one.
        rule: How weights move; None for full-batch gradient descent.
        loss: Of each sample.
        stop: When training ends before its last epoch.
        own_steps: Steps of the rule's own over which `osgr_own_lhs` is taken.
        running_statistics: Whether networks with batch normalization are measured with running
            statistics instead of the training set's at the present weights.
        engine: How passes are computed; holds n, the size of each training set.
    """

    n_sets: int
    epochs: int
    measured_epochs: tuple[float, ...]
    lr: float
    engine: EngineSettings
    dtype: Literal["float32", "float64"] = "float32"
    variance: Literal["plugin", "unbiased"] = "plugin"
    followed: tuple[str, ...] = ()
    threads: int | None = None
    rule: RuleSettings | None = None
    loss: LossConfig = field(default_factory=LossConfig)
    stop: StopConfig = field(default_factory=StopConfig)
    own_steps: int = 1
    running_statistics: bool = False

    @property
    def may_be_random(self) -> bool:
        """Whether networks may differ in training mode: mini-batches move them, or nothing does."""
        return self.rule is not None or self.epochs == 0

    @property
    def steps_an_epoch(self) -> int:
        """Steps in a pass over a training set."""
        return self.rule.steps_an_epoch(self.n) if self.rule else 1

    @property
    def n(self) -> int:
        """Size of each training set."""
        return self.engine.n
