"""From a `torch.nn.Module` to its explicit form, where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from torch import nn

from gsnr_sweep.engine.cpu.conv_block import ConvBlock
from gsnr_sweep.engine.cpu.head import Head
from gsnr_sweep.engine.cpu.kernels import Kernels
from gsnr_sweep.engine.cpu.network import ExplicitNetwork
from gsnr_sweep.engine.cpu.pooled_conv import PooledConv
from gsnr_sweep.engine.cpu.residual import Residual
from gsnr_sweep.engine.cpu.stage import Stage
from gsnr_sweep.gradients.batchnorm import FullBatchNorm


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
        layers = _Layers(model)
        stages: list[Stage] = []
        if len(input_shape) == 3 and not _starts_flat(layers):
            stages = _stages(layers)
        averages = _skip_to_features(layers, bool(stages), len(input_shape))
        head = Head(_linear_layers(layers), kernels)
    except _NotExplicitError:
        return None
    if stages and kernels is None:
        return None
    return ExplicitNetwork(stages, averages, head, kernels)


class _Layers:
    """The layers of nested ``nn.Sequential`` in order, to be taken one by one."""

    def __init__(self, model: nn.Module) -> None:
        self._layers = list(_flattened(model))
        if len(set(self._layers)) < len(self._layers):
            raise _NotExplicitError("a layer is used twice")
        shared = [id(p) for layer in self._layers for p in layer.parameters()]
        if len(set(shared)) < len(shared):
            raise _NotExplicitError("a parameter is used twice")
        self.numbers = count()

    def next_is(self, *kinds: type[nn.Module]) -> bool:
        """Tell whether the next layer is exactly of one of these classes."""
        return bool(self._layers) and type(self._layers[0]) in kinds

    def take(self) -> nn.Module:
        """Take the next layer."""
        return self._layers.pop(0)

    def take_if(self, *kinds: type[nn.Module]) -> nn.Module | None:
        """Take the next layer if it is of one of these classes."""
        return self.take() if self.next_is(*kinds) else None

    @property
    def at_end(self) -> bool:
        """Whether nothing is left."""
        return not self._layers


def _flattened(module: nn.Module) -> Iterator[nn.Module]:
    if type(module).forward is not nn.Sequential.forward:
        yield module
        return
    if module._forward_hooks or module._forward_pre_hooks:
        raise _NotExplicitError("hooks")
    for child in module._modules.values():  # children() would hide that a layer is used twice
        if child is not None:
            yield from _flattened(child)


def _starts_flat(layers: _Layers) -> bool:
    return layers.next_is(nn.Flatten)


def _stages(layers: _Layers) -> list[Stage]:
    stages: list[Stage] = []
    while not layers.at_end and not layers.next_is(nn.Flatten, nn.AdaptiveAvgPool2d):
        if layers.next_is(nn.Conv2d):
            stages.append(_convolution(layers))
        else:
            stages.append(_residual(layers.take(), layers))
    return stages


def _convolution(layers: _Layers) -> Stage:
    name = f"stage{next(layers.numbers)}"
    conv = layers.take()
    assert isinstance(conv, nn.Conv2d)
    _require(_is_plain(conv))
    norm = layers.take_if(FullBatchNorm)
    pool, rectify = False, False
    while True:
        if not rectify and layers.take_if(nn.ReLU):
            rectify = True
        elif not pool and (pooling := layers.take_if(nn.MaxPool2d)):
            _require(_is_two_by_two(pooling))
            pool = True
        else:
            break
    if norm is None and pool and rectify and conv.stride[0] == 1:
        return PooledConv(name, conv)
    assert norm is None or isinstance(norm, FullBatchNorm)
    return ConvBlock(name, conv, norm, pool, rectify)


def _residual(block: nn.Module, layers: _Layers) -> Stage:
    """Take torchvision's basic block apart, which is told by its class's name and home."""
    kind = type(block)
    _require((kind.__module__, kind.__name__) == ("torchvision.models.resnet", "BasicBlock"))
    name = f"stage{next(layers.numbers)}"
    part = block.get_submodule
    stages = [
        _only(nn.Sequential(part("conv1"), part("bn1"), part("relu")), layers),
        _only(nn.Sequential(part("conv2"), part("bn2")), layers),
    ]
    there = dict(block.named_children())
    shortcut = _only(part("downsample"), layers) if "downsample" in there else None
    return Residual(name, stages, shortcut)


def _only(part: nn.Module, layers: _Layers) -> Stage:
    inner = _Layers(part)
    inner.numbers = layers.numbers
    _require(inner.next_is(nn.Conv2d))
    stage = _convolution(inner)
    _require(inner.at_end)
    return stage


def _skip_to_features(layers: _Layers, has_stages: bool, input_axes: int) -> bool:
    """Take what stands between stages and linear layers; return whether it averages."""
    average = layers.take_if(nn.AdaptiveAvgPool2d)
    if isinstance(average, nn.AdaptiveAvgPool2d):
        _require(has_stages and average.output_size in (1, (1, 1)))
    flatten = layers.take_if(nn.Flatten)
    if isinstance(flatten, nn.Flatten):
        _require(flatten.start_dim == 1 and flatten.end_dim == -1)
    _require(flatten is not None or (not has_stages and input_axes == 1))
    return average is not None


def _linear_layers(layers: _Layers) -> list[nn.Linear | nn.ReLU]:
    found: list[nn.Linear | nn.ReLU] = []
    while not layers.at_end:
        _require(layers.next_is(nn.Linear, nn.ReLU))
        layer = layers.take()
        assert isinstance(layer, nn.Linear | nn.ReLU)
        found.append(layer)
    _require(bool(found))
    return found


def _is_plain(conv: nn.Conv2d) -> bool:
    square = len(set(conv.kernel_size)) == 1 and len(set(conv.stride)) == 1
    padded = isinstance(conv.padding, tuple) and len(set(conv.padding)) == 1
    small = padded and int(conv.padding[0]) < conv.kernel_size[0]
    return (
        square
        and small
        and conv.padding_mode == "zeros"
        and conv.groups == 1
        and conv.dilation == (1, 1)
    )


def _is_two_by_two(pooling: nn.Module) -> bool:
    assert isinstance(pooling, nn.MaxPool2d)

    def both(value: object) -> object:
        return value if isinstance(value, tuple) else (value, value)

    return (
        both(pooling.kernel_size) == (2, 2)
        and both(pooling.stride) == (2, 2)
        and both(pooling.padding) == (0, 0)
        and both(pooling.dilation) == (1, 1)
        and not pooling.ceil_mode
        and not pooling.return_indices
    )


def _require(condition: bool) -> None:
    if not condition:
        raise _NotExplicitError
