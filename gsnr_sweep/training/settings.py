"""Settings of the training of M replicas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gsnr_sweep.engine.settings import EngineSettings


@dataclass(frozen=True)
class TrainingSettings:
    """How M replicas are trained by full-batch gradient descent, and when they are measured.

    Attributes:
        n_sets: M, the number of training sets and so of replicas.
        epochs: Steps to train for; with full batches a step is an epoch.
        measured_epochs: Epochs to measure at.
        lr: Learning rate λ.
        dtype: ``float32`` or ``float64``, of weights and activations.
        variance: ``plugin`` (1/n) or ``unbiased`` (1/(n − 1)) variance of per-sample gradients.
        followed: Layers or parameters to follow one by one.
        threads: Replicas worked on side by side; None for one.
        engine: How passes are computed; holds n, the size of each training set.
    """

    n_sets: int
    epochs: int
    measured_epochs: tuple[int, ...]
    lr: float
    engine: EngineSettings
    dtype: Literal["float32", "float64"] = "float32"
    variance: Literal["plugin", "unbiased"] = "plugin"
    followed: tuple[str, ...] = ()
    threads: int | None = None

    @property
    def n(self) -> int:
        """Size of each training set."""
        return self.engine.n
