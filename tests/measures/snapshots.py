"""Snapshots made of given per-sample gradients, without any network."""

from typing import Any

import numpy as np
import torch

from gsnr_sweep.gradients.parameters import Parameter
from gsnr_sweep.training.snapshot import Snapshot

LR = 0.01


def snapshot(
    gradients: np.ndarray, variance: str = "plugin", seed: int = 0, **fields: Any
) -> Snapshot:
    """A snapshot of per-sample gradients [M, n, P] with made-up losses."""
    rng = np.random.default_rng(seed)
    n_sets, n, n_parameters = gradients.shape
    tensor = torch.from_numpy
    train, test = rng.uniform(1, 2, n_sets), rng.uniform(1, 2, n_sets)
    changes = rng.normal(-0.02, 0.05, (n_sets, 40))
    made: dict[str, Any] = {
        "epoch": 3,
        "n": n,
        "lr": LR,
        "variance": variance,
        "parameters": (
            Parameter("first.bias", 0, 2, (2,)),
            Parameter("second.bias", 2, n_parameters, (n_parameters - 2,)),
        ),
        "gradient_sum": tensor(gradients.sum(1)),
        "gradient_square_sum": tensor((gradients**2).sum(1)),
        "positive": tensor((gradients > 0).sum(1).astype(float)),
        "negative": tensor((gradients < 0).sum(1).astype(float)),
        "step_sq_norm": tensor((gradients.mean(1) ** 2).sum(1)),
        "train_loss": tensor(train),
        "train_loss_next": tensor(train - rng.uniform(0.03, 0.05, n_sets)),
        "test_loss": tensor(test),
        "test_loss_next": tensor(test + changes.mean(1)),
        "test_loss_change": tensor(changes.sum(0)),
        "train_accuracy": tensor(rng.uniform(0, 1, n_sets)),
        "test_accuracy": tensor(rng.uniform(0, 1, n_sets)),
    }
    return Snapshot(**made | fields)
