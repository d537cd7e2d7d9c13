"""From a `torch.nn.Module` to its explicit form, where there is one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from torch import nn

from gsnr_sweep.engine.cpu.conv_block import ConvBlock
from gsnr_sweep.engine.cpu.head import Head
from gsnr_sweep.engine.cpu.kernels import Kernels
from gsnr_sweep.engine.cpu.network import ExplicitNetwork
from gsnr_sweep.engine.cpu.pooled_conv import PooledConv
from gsnr_sweep.engine.cpu.residual import Residual
from gsnr_sweep.engine.cpu.stage import Stage
from gsnr_sweep.gradients.batchnorm import FullBatchNorm

Layer = TypeVar("Layer", bound=nn.Module)


class _NotExplicitError(Exception):
    """The network holds something that has no explicit form."""


def explicit_network(
    model: nn.Module, input_shape: tuple[int, ...], kernels: Kernels | None
) -> ExplicitNetwork | None:
    """Find the explicit form of a network of layers one after the other.

    There is one for networks of convolutions (square, one group), batch normalization, ReLU, 2×2
    max-pooling and torchvision's basic blocks, followed by linear layers with ReLU.

    Args:
        model: With batch normalization already replaced.
        input_shape: Shape of one input.
        kernels: Compiled kernels; None if there are none, and then only for linear layers.

    Returns:
        None if the network holds anything else.
    """
    try:
        layers = _distinct(_flattened(model))
        stages: list[Stage] = []
        while len(input_shape) == 3 and _goes_on(layers):
            stages.append(_stage(f"stage{len(stages)}", layers))
        averages = _skip_to_features(layers, bool(stages), len(input_shape))
        head = Head(_linear_layers(layers), kernels)
    except _NotExplicitError:
        return None
    if stages and kernels is None:
        return None
    return ExplicitNetwork(stages, averages, head, kernels)


def _flattened(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the layers of nested ``nn.Sequential`` in order."""
    if type(module).forward is not nn.Sequential.forward:
        yield module
        return
    _require(not module._forward_hooks and not module._forward_pre_hooks)
    for child in module._modules.values():  # children() would hide that a layer is used twice
        if child is not None:
            yield from _flattened(child)


def _distinct(modules: Iterable[nn.Module]) -> list[nn.Module]:
    """List layers that share nothing."""
    layers = list(modules)
    parameters = [p for layer in layers for p in layer.parameters()]
    _require(len(set(layers)) == len(layers) and len(set(parameters)) == len(parameters))
    return layers


def _take(layers: list[nn.Module], kind: type[Layer]) -> Layer | None:
    """Take the next layer if it is exactly of a class."""
    layer = layers[0] if layers else None
    if not isinstance(layer, kind) or type(layer) is not kind:
        return None
    del layers[0]
    return layer


def _goes_on(layers: list[nn.Module]) -> bool:
    return bool(layers) and type(layers[0]) not in (nn.Flatten, nn.AdaptiveAvgPool2d)


def _stage(name: str, layers: list[nn.Module]) -> Stage:
    is_convolution = type(layers[0]) is nn.Conv2d
    return _convolution(name, layers) if is_convolution else _residual(name, layers.pop(0))


def _convolution(name: str, layers: list[nn.Module]) -> Stage:
    conv = _take(layers, nn.Conv2d)
    if conv is None or not _is_plain(conv):
        raise _NotExplicitError
    norm = _take(layers, FullBatchNorm)
    relu, pool = _take(layers, nn.ReLU), _take(layers, nn.MaxPool2d)
    relu = relu or _take(layers, nn.ReLU)
    _require(pool is None or _is_two_by_two(pool))
    if norm is None and pool and relu and conv.stride[0] == 1:
        return PooledConv(name, conv)
    return ConvBlock(name, conv, norm, pool is not None, relu is not None)


def _residual(name: str, block: nn.Module) -> Stage:
    """Take torchvision's basic block apart, which is told by its class's name and home."""
    kind = type(block)
    _require((kind.__module__, kind.__name__) == ("torchvision.models.resnet", "BasicBlock"))
    parts = dict(block.named_children())
    stages = [
        _only(f"{name}.1", nn.Sequential(parts["conv1"], parts["bn1"], parts["relu"])),
        _only(f"{name}.2", nn.Sequential(parts["conv2"], parts["bn2"])),
    ]
    aside = parts.get("downsample")
    return Residual(name, stages, None if aside is None else _only(f"{name}.aside", aside))


def _only(name: str, part: nn.Module) -> Stage:
    layers = _distinct(_flattened(part))
    stage = _convolution(name, layers)
    _require(not layers)
    return stage


def _skip_to_features(layers: list[nn.Module], has_stages: bool, input_axes: int) -> bool:
    """Take what stands between stages and linear layers; return whether it averages."""
    average, flatten = _take(layers, nn.AdaptiveAvgPool2d), _take(layers, nn.Flatten)
    _require(average is None or (has_stages and average.output_size in (1, (1, 1))))
    if flatten is None:
        _require(not has_stages and input_axes == 1)
    else:
        _require((flatten.start_dim, flatten.end_dim) == (1, -1))
    return average is not None


def _linear_layers(layers: list[nn.Module]) -> list[nn.Linear | nn.ReLU]:
    found = [layer for layer in layers if isinstance(layer, nn.Linear | nn.ReLU)]
    _require(bool(layers) and all(type(layer) in (nn.Linear, nn.ReLU) for layer in layers))
    return found


def _is_plain(conv: nn.Conv2d) -> bool:
    k, stride, padding = conv.kernel_size, conv.stride, conv.padding
    square = k[0] == k[1] and stride[0] == stride[1]
    padded = isinstance(padding, tuple) and padding[0] == padding[1] and int(padding[0]) < k[0]
    usual = (conv.padding_mode, conv.groups, conv.dilation) == ("zeros", 1, (1, 1))
    return square and padded and usual


def _is_two_by_two(pool: nn.MaxPool2d) -> bool:
    given = (pool.kernel_size, pool.stride, pool.padding, pool.dilation)
    pairs = [value if isinstance(value, tuple) else (value, value) for value in given]
    plain = not pool.ceil_mode and not pool.return_indices
    return plain and pairs == [(2, 2), (2, 2), (0, 0), (1, 1)]


def _require(condition: bool) -> None:
    if not condition:
        raise _NotExplicitError
