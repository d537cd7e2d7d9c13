"""A prepared network tried on a few samples: how its per-sample gradients can be had."""

from __future__ import annotations

import copy
from functools import partial

import torch
from torch import Tensor, nn

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.gradients import Method, choose_method
from gsnr_sweep.gradients.batchnorm import FullBatchNorm, Mode, norms_in_order
from gsnr_sweep.gradients.loss import Task, sample_losses


def choose_moments_method(model: nn.Module, x: Tensor, y: Tensor, task: Task) -> Method:
    """Find the way to a prepared network's per-sample gradients by trying on a few samples.

    Batch normalization is tried with these samples' statistics, fixed.

    Raises:
        GsnrError: The network has no per-sample gradients.
    """
    _refuse_dropout(model)
    trial = copy.deepcopy(model)
    norms_in_order(trial, x)
    with torch.no_grad():
        trial(x)
    for module in trial.modules():
        if isinstance(module, FullBatchNorm):
            module.mode = Mode.FIXED
    return choose_method(trial, x, y, partial(sample_losses, task=task))


def _refuse_dropout(model: nn.Module) -> None:
    """Refuse a network whose training would be random; in evaluation mode it would not show."""
    for name, module in model.named_modules():
        own = module.p if isinstance(module, nn.modules.dropout._DropoutNd) else 0
        inside = getattr(module, "dropout", 0)  # of attention and recurrent layers
        if own > 0 or (isinstance(inside, float) and inside > 0):
            raise GsnrError(
                f"This network drops activations at random ({name}: {module}). Eq. (19) is about "
                "deterministic gradient descent: set its p to 0 or take it out."
            )
