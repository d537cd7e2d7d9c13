"""Which networks are trained with all replicas at once."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from gsnr_sweep.engine.batched.functional import can_stack
from gsnr_sweep.engine.batched.layers import linear_layers
from gsnr_sweep.gradients.loss import Task
from gsnr_sweep.training.snapshot import Parameter

_WIDEST = 64
"""On a CPU, networks with layers up to this width: 2-20-20-1 is 4.9 times as fast as replica by
replica, 2-20-1 ten times or more, 784-20-10 as fast."""


def can_be_stacked(
    model: nn.Module, parameters: Sequence[Parameter], x: Tensor, y: Tensor, task: Task
) -> bool:
    """Say whether all replicas should take their steps together.

    Args:
        model: The prepared network, on its device.
        parameters: Places of the trained parameters.
        x: [N, ...] a few inputs.
        y: Their targets.
        task: Decides the loss.
    """
    if x.is_cuda:
        return can_stack(model, parameters, x, y, task)
    layers = linear_layers(model)
    if layers is None:
        return False
    return max(max(layer.in_features, layer.out_features) for _, layer, _ in layers) <= _WIDEST
