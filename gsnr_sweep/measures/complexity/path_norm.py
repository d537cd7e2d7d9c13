"""Path norms: sums over all paths of a network of the product of its weights' powers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, assert_never, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.measures.complexity.folding import scale_and_shift
from gsnr_sweep.measures.complexity.graph import (
    Network,
    Operation,
    Shape,
    Step,
    bias_of,
    weight_of,
    without_bias,
)

BiasRule = Literal["edge", "none"]
"""Whether a bias is an edge from a unit that is always one, or is left out."""

PoolingRule = Literal["as_is", "paths"]
"""Whether pooling stays as it is, or each path through a window counts."""


@torch.no_grad()
def log_path_sum(
    network: Network, p: int, *, bias: BiasRule = "edge", pooling: PoolingRule = "as_is"
) -> float:
    """The natural log of S_p = Σ_paths Π|w|^p, over all paths from an input to an output.

    One forward pass: each weight is replaced by |w|^p, the inputs by ones, and the outputs are
    summed (Neyshabur et al. 2015, Path-SGD). The l1-path norm of Neyshabur et al. 2017 is S_1², the
    l2-path norm S_2. The paper's networks have no biases and no pooling; its authors' later code
    takes both as the defaults here do.

    - Two branches that are summed: their paths together; a shortcut is an edge of weight 1.
    - Batch normalization that is not folded, x ↦ s·x + t: an edge |s|^p a channel; t is a bias.
    - ``pooling="as_is"``: maximum or mean over the window. ``"paths"``: the sum over the window for
      max-pooling, and the sum times (1/k)^p for the mean of k values.

    Values are rescaled layer by layer and the log of the scale is carried along, so that depth and
    size of the weights do not matter. Of the values of one layer (and of its weights' powers),
    those below 1e-308 of the largest are lost.

    Args:
        network: What it computes; the weights are read from its layers, in float64.
        p: The power, 1 or 2.
        bias: What a bias counts as.
        pooling: What pooling counts as.

    Returns:
        log S_p; −inf if no path has only weights other than zero.

    Raises:
        GsnrError: A rule is unknown.
    """
    for name, rule, rules in (("bias", bias, BiasRule), ("pooling", pooling, PoolingRule)):
        if rule not in get_args(rules):
            known = " and ".join(get_args(rules))
            raise GsnrError(f"{name}={rule} is no rule of path norms; there are {known}.")
    first = network.steps[0]
    like = next((weight_of(step) for step in network.weight_steps), torch.ones(()))
    ones = _Scaled(torch.ones(1, *first.output_shape, dtype=like.dtype, device=like.device), 0.0)
    values: list[_Scaled] = []
    for step in network.steps:
        read = [values[i] for i in step.reads] or [ones]
        values.append(_apply(step, read, _Rules(p, bias, pooling)))
    outputs = values[-1]
    total = float(outputs.values.sum())
    return math.log(total) + outputs.log if total > 0 else -math.inf


@dataclass(frozen=True)
class _Rules:
    p: int
    bias: BiasRule
    pooling: PoolingRule


@dataclass(frozen=True)
class _Scaled:
    """Non-negative values times e^log; the largest of `values` is one, or all are zero."""

    values: Tensor
    log: float

    @classmethod
    def of(cls, values: Tensor, log: float = 0.0) -> _Scaled:
        largest = float(values.max()) if values.numel() else 0.0
        if largest == 0:
            return cls(values, -math.inf)
        return cls(values / largest, log + math.log(largest))

    @classmethod
    def power(cls, values: Tensor, p: int) -> _Scaled:
        """|values|^p; the power is taken of what is at most one."""
        scaled = cls.of(values.abs())
        return cls(scaled.values**p, p * scaled.log)

    def __add__(self, other: _Scaled) -> _Scaled:
        log = max(self.log, other.log)
        if log == -math.inf:
            return _Scaled(self.values + other.values, log)
        mine = self.values * math.exp(self.log - log)
        return _Scaled.of(mine + other.values * math.exp(other.log - log), log)


def _apply(step: Step, read: list[_Scaled], rules: _Rules) -> _Scaled:
    match step.operation:
        case Operation.WEIGHT:
            weight = _Scaled.power(weight_of(step), rules.p)
            assert step.layer is not None
            product = without_bias(step.layer, weight.values, read[0].values)
            channel_axis = product.dim() - 1 if isinstance(step.layer, nn.Linear) else 1
            through = _Scaled.of(product, weight.log + read[0].log)
            return _with_shift(through, bias_of(step), channel_axis, rules)
        case Operation.DIAGONAL:
            assert step.layer is not None
            scale, shift = scale_and_shift(step.layer)
            gain = _Scaled.power(_along(scale, read[0].values, 1), rules.p)
            through = _Scaled.of(read[0].values * gain.values, read[0].log + gain.log)
            return _with_shift(through, shift, 1, rules)
        case Operation.MAX_POOL | Operation.AVERAGE_POOL:
            return _Scaled.of(_pooled(step, read[0].values, rules), read[0].log)
        case Operation.ADD:
            return read[0] + read[1]
        case Operation.RESHAPE:
            return _Scaled(read[0].values.reshape(1, *step.output_shape), read[0].log)
        case Operation.INPUT | Operation.RELU | Operation.IDENTITY:
            return read[0]
        case _:
            assert_never(step.operation)


def _with_shift(x: _Scaled, shift: Tensor | None, axis: int, rules: _Rules) -> _Scaled:
    if shift is None or rules.bias == "none":
        return x
    edges = _Scaled.power(shift, rules.p)
    return x + _Scaled(_along(edges.values, x.values, axis).expand_as(x.values), edges.log)


def _along(values: Tensor, x: Tensor, axis: int) -> Tensor:
    """Shape one value a channel so that it broadcasts along an axis of `x`."""
    return values.view([-1 if i == axis else 1 for i in range(x.dim())])


def _pooled(step: Step, x: Tensor, rules: _Rules) -> Tensor:
    layer = step.layer
    assert layer is not None
    as_is: Tensor = layer(x)
    if rules.pooling == "as_is":
        return as_is
    if step.operation is Operation.MAX_POOL:
        return _window_sums(layer, x, step.output_shape)
    # A mean over k values is 1/k times their sum; k may differ from window to window. The mean of
    # ones over the sum of ones is that 1/k, also where zeros of a padding count.
    ones = torch.ones_like(x)
    if isinstance(layer, nn.AdaptiveAvgPool1d | nn.AdaptiveAvgPool2d | nn.AdaptiveAvgPool3d):
        share = 1 / _adaptive_window_sizes(x, step.output_shape)
    else:
        share = layer(ones) / _window_sums(layer, ones, step.output_shape)
    return as_is * share ** (rules.p - 1)


def _window_sums(layer: nn.Module, x: Tensor, output_shape: Shape) -> Tensor:
    """Sum over the windows of a pooling layer, the padding counted as zeros."""
    axes = len(output_shape) - 1
    kernel, stride, padding, dilation = (
        _per_axis(getattr(layer, name, 1), axes)
        for name in ("kernel_size", "stride", "padding", "dilation")
    )
    widths: list[int] = []
    for i in reversed(range(axes)):
        # With ceil_mode the last window may reach beyond the padding.
        end = (output_shape[1 + i] - 1) * stride[i] + dilation[i] * (kernel[i] - 1) + 1
        widths += [padding[i], max(padding[i], end - padding[i] - x.shape[2 + i])]
    flat = F.pad(x.reshape(-1, 1, *x.shape[2:]), widths)
    convolve = (F.conv1d, F.conv2d, F.conv3d)[axes - 1]
    sums = convolve(flat, x.new_ones(1, 1, *kernel), stride=stride, dilation=dilation)
    for i, size in enumerate(output_shape[1:], start=2):
        sums = sums.narrow(i, 0, size)
    return sums.reshape(len(x), *output_shape)


def _per_axis(value: int | tuple[int, ...], axes: int) -> tuple[int, ...]:
    found = (value,) * axes if isinstance(value, int) else tuple(value)
    return found * axes if len(found) == 1 else found


def _adaptive_window_sizes(x: Tensor, output_shape: Shape) -> Tensor:
    """The number of values of each window, which reaches from ⌊iL/K⌋ to ⌈(i+1)L/K⌉ on an axis."""
    sizes = x.new_ones(())
    for length, count in zip(x.shape[2:], output_shape[1:], strict=True):
        counts = [-(-(i + 1) * length // count) - i * length // count for i in range(count)]
        sizes = sizes[..., None] * x.new_tensor(counts)
    return sizes
