"""Derivative of the loss by the network's outputs."""

from __future__ import annotations

import torch
from torch import Tensor

from gsnr_sweep.gradients.loss import Task, sample_losses


@torch.no_grad()
def output_gradient(outputs: Tensor, targets: Tensor, task: Task) -> Tensor:
    """Differentiate each sample's loss by its own outputs.

    As autograd through `sample_losses` has it: computed in float64, then rounded to the outputs'
    dtype. The squared error is written out, because the graph of its five operations costs more
    than a pass through a network of a few units.

    Args:
        outputs: [N, outputs] of the network.
        targets: [N] class labels, or [N, outputs] targets.
        task: Decides the loss.

    Returns:
        [N, outputs] in the outputs' dtype.
    """
    if task == "regression":
        error = outputs.to(torch.float64, copy=True).sub_(targets.view_as(outputs)).mul_(2)
        return error.to(outputs.dtype)
    leaf = outputs.detach().requires_grad_()
    with torch.enable_grad():
        loss = sample_losses(leaf, targets, task).sum()
    return torch.autograd.grad(loss, leaf)[0]
