"""Randomized labels (Liu et al. 2020, 2.4: "randomly changing the labels with probability")."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from gsnr_sweep.data.seeding import Stream, generators


def confusion_labels(size: int, n_classes: int, seed: int, index: int = 0) -> Tensor:
    """Draw the labels of a confusion set, uniformly from all classes (Neyshabur et al. 2017).

    Args:
        size: Number K of samples.
        n_classes: Number of classes.
        seed: The run's seed.
        index: Number of the training set.

    Returns:
        [K] int64. Those of a larger K begin with those of a smaller one.
    """
    (what,) = generators(seed, Stream.CONFUSION_LABELS, index, 1)
    return torch.from_numpy(what.integers(n_classes, size=size))


def randomize_labels(
    labels: Tensor,
    n_classes: int,
    p_random: float,
    kind: Literal["uniform", "different"],
    seed: int,
    stream: Stream,
    index: int = 0,
) -> Tensor:
    """Replace each label with probability `p_random`.

    The paper does not say what a changed label becomes. ``uniform`` draws it from all classes, the
    true one included; ``different`` draws it from the others.

    Args:
        labels: [N] int64, true labels.
        n_classes: Number of classes.
        p_random: Probability that a label is replaced.
        kind: Where replacements come from.
        seed: The run's seed.
        stream: `Stream.TRAIN_LABELS` or `Stream.TEST_LABELS`.
        index: Number of the training set.

    Returns:
        [N] int64, a new tensor. A label replaced at one p_random is replaced at any larger one.
    """
    which, what = generators(seed, stream, index, 2)
    replaced = which.random(len(labels)) < p_random
    true = labels.cpu().numpy()
    if kind == "uniform":
        drawn = what.integers(n_classes, size=len(true))
    else:
        drawn = (true + 1 + what.integers(n_classes - 1, size=len(true))) % n_classes
    return torch.from_numpy(np.where(replaced, drawn, true)).to(labels.device)
