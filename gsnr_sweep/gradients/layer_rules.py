"""Closed forms of per-sample parameter gradients, one rule a layer type.

A rule is a function (layer, inputs, output gradients) → gradients by parameter name. `inputs` are
what the layer was called with, [N, ...]; `output gradients` are ∂L_i/∂output_i, [N, ...], from one
backward pass of the summed loss. To teach the engine another layer, write its rule and add it to
`RULES`; a layer without a rule is handled by `gsnr_sweep.gradients.functional`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gsnr_sweep.gradients.batchnorm import FullBatchNorm, as_channels
from gsnr_sweep.gradients.per_sample import (
    DenseGradients,
    OuterProductGradients,
    PerSampleGradients,
)

Gradients = dict[str, PerSampleGradients]
Rule = Callable[[nn.Module, Tensor, Tensor], Gradients]


def linear(layer: nn.Module, x: Tensor, grad: Tensor) -> Gradients:
    """``torch.nn.Linear``: ∂L_i/∂W = b_i ⊗ a_i, summed over any axes between first and last."""
    assert isinstance(layer, nn.Linear)
    weight: PerSampleGradients
    if x.dim() == 2:
        weight, bias = OuterProductGradients(grad, x), grad
    else:
        b, a = grad.flatten(1, -2), x.flatten(1, -2)
        weight, bias = DenseGradients(b.transpose(1, 2) @ a), b.sum(1)
    return _wanted(layer, weight=weight, bias=DenseGradients(bias))


def conv2d(layer: nn.Module, x: Tensor, grad: Tensor) -> Gradients:
    """``torch.nn.Conv2d``: the sum over positions of output gradient ⊗ input patch.

    One batched matrix product of [O, positions] and [positions, patch] a sample and group, with any
    stride, padding, dilation and number of groups.
    """
    assert isinstance(layer, nn.Conv2d)
    n, groups = len(x), layer.groups
    patches = F.unfold(
        _padded(layer, x), layer.kernel_size, dilation=layer.dilation, stride=layer.stride
    )
    b = grad.reshape(n, groups, layer.out_channels // groups, -1)
    a = patches.view(n, groups, -1, patches.shape[-1])
    weight = (b @ a.transpose(2, 3)).view(n, *layer.weight.shape)
    return _wanted(layer, weight=DenseGradients(weight), bias=DenseGradients(grad.sum(dim=(2, 3))))


def _padded(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """Pad as the layer does before it convolves."""
    if not any(layer._reversed_padding_repeated_twice):
        return x
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    return F.pad(x, layer._reversed_padding_repeated_twice, mode=mode)


def batch_norm(layer: nn.Module, x: Tensor, grad: Tensor) -> Gradients:
    """Batch normalization with fixed statistics: normalized input times output gradient."""
    if isinstance(layer, FullBatchNorm):
        mean, var = layer.mean, layer.var
    else:  # in evaluation mode
        assert isinstance(layer, nn.modules.batchnorm._BatchNorm)
        assert layer.running_mean is not None
        assert layer.running_var is not None
        mean, var = layer.running_mean, layer.running_var
    normalized = (x - as_channels(mean, x)) * as_channels(torch.rsqrt(var + layer.eps), x)
    weight, bias = _over_positions(grad * normalized), _over_positions(grad)
    return _wanted(layer, weight=DenseGradients(weight), bias=DenseGradients(bias))


def _over_positions(values: Tensor) -> Tensor:
    """Sum [N, C, ...] over all axes behind the channels."""
    return values.flatten(2).sum(2) if values.dim() > 2 else values


def _wanted(layer: nn.Module, **gradients: PerSampleGradients) -> Gradients:
    """Keep the gradients of the parameters that the layer has and that are trained."""
    own = dict(layer.named_parameters(recurse=False))
    return {name: g for name, g in gradients.items() if name in own and own[name].requires_grad}


RULES: dict[type[nn.Module], Rule] = {
    nn.Linear: linear,
    nn.Conv2d: conv2d,
    FullBatchNorm: batch_norm,
    nn.BatchNorm1d: batch_norm,
    nn.BatchNorm2d: batch_norm,
    nn.BatchNorm3d: batch_norm,
}
