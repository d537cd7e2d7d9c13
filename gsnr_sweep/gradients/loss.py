"""The loss of each sample, in float64 whatever the network computes in.

One gradient-descent step changes the loss by about λ‖g‖², down to 1e-7 of the loss, which is
float32's own resolution. Late in training softmax − onehot of a fitted sample loses all its digits
in float32. So outputs are converted first; autograd converts their gradients back.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Task = Literal["classification", "regression"]


def sample_losses(outputs: Tensor, targets: Tensor, task: Task) -> Tensor:
    """Return the loss L(y_i, f(x_i)) of each sample.

    Args:
        outputs: [N, outputs] of the network.
        targets: [N] class labels, or [N, outputs] targets.
        task: ``classification`` for cross entropy, ``regression`` for the squared error summed
            over outputs.

    Returns:
        [N] float64.
    """
    outputs = outputs.double()
    if task == "classification":
        return F.cross_entropy(outputs, targets, reduction="none")
    return (outputs - targets.double().view_as(outputs)).square().flatten(1).sum(1)


@torch.no_grad()
def count_correct(outputs: Tensor, targets: Tensor, task: Task) -> int:
    """Count the samples whose largest output is the label's; 0 for a regression."""
    if task == "regression":
        return 0
    return int((outputs.argmax(1) == targets).sum())


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
