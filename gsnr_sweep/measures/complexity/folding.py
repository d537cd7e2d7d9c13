"""Batch normalization folded into the linear or convolutional layer before it."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch.nn.utils import parametrize

from gsnr_sweep.errors import GsnrError, describe_exception
from gsnr_sweep.gradients.batchnorm import FullBatchNorm, Mode
from gsnr_sweep.measures.complexity.graph import (
    WeightLayer,
    is_size,
    is_torchs_own,
    replayed,
    require_replay,
    same_values,
    traced,
    two_samples,
)

_TorchNorm = nn.modules.batchnorm._BatchNorm
_BatchNorm = _TorchNorm | FullBatchNorm
_PASSES_ON = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)


@torch.no_grad()
def folded(model: nn.Module, example: Tensor, dtype: torch.dtype = torch.float64) -> nn.Module:
    """Copy a network in eval mode, with its batch normalization folded into the layers before.

    With running mean μ and variance v, gain g and offset β of a batch normalization, and
    s = g / √(v + ε): W ← s·W and b ← β + s·(b − μ), channel by channel. A layer without a bias
    gains one. The function stays the same up to rounding: this is checked on the example.

    A normalization is folded if it directly follows a linear or convolutional layer whose output
    nothing else reads (dropout in between does nothing). Any other one, such as one before its
    convolution, stays as it is. A network without batch normalization may be any module: it is
    not traced. Parametrized tensors (`torch.nn.utils.parametrizations`) become ordinary parameters
    of their effective value.

    Args:
        model: Stays as it is. The normalizations have running or, in a sweep, fixed statistics.
        example: Inputs that the network accepts, [N, ...] with N ≥ 1.
        dtype: Of the copy; the folding itself is done in float64.

    Returns:
        An ordinary module with ordinary parameters, in which ``torch.nn.Identity`` takes the place
        of what was folded. Names of layers stay.

    Raises:
        GsnrError: The network cannot be copied; or it has batch normalization and cannot be
            traced, has no fixed statistics, or computes a normalization of its own.
    """
    try:
        network = copy.deepcopy(model).double().eval()
    except Exception as error:
        raise GsnrError(
            f"The network cannot be copied ({describe_exception(error)}), and only a copy is "
            "folded. Make copy.deepcopy(model) work. For weight_norm and spectral_norm take those "
            "of torch.nn.utils.parametrizations."
        ) from error
    _make_ordinary(network)
    if any(isinstance(module, _BatchNorm) for module in network.modules()):
        _require_fixed_statistics(network)
        network = _without_norms(network, two_samples(example, network))
    return network.to(dtype)


def scale_and_shift(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """The map x ↦ s·x + t that batch normalization is, in eval mode.

    Args:
        norm: A batch normalization with mean μ, variance v, gain g and offset β.

    Returns:
        s = g / √(v + ε) and t = β − s·μ, one a channel, [C] each.
    """
    assert isinstance(norm, _BatchNorm)
    if isinstance(norm, FullBatchNorm):
        mean, variance = norm.mean, norm.var
    else:
        mean, variance = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
    gain = cast(Tensor | None, norm.weight)
    offset = cast(Tensor | None, norm.bias)
    scale = (variance + norm.eps).rsqrt()
    if gain is not None:
        scale = scale * gain
    shift = -scale * mean
    return scale, shift if offset is None else shift + offset


def _make_ordinary(network: nn.Module) -> None:
    """Turn parametrized tensors into parameters of their effective value.

    `torch.nn.utils.parametrize.remove_parametrizations` takes the tensor from the layer's class,
    which a copy shares with the network it is a copy of.
    """
    for path, module in network.named_modules():
        if not parametrize.is_parametrized(module):
            _require_parameter(path, module)
            continue
        lists = cast(nn.ModuleDict, module.parametrizations)
        values = {name: cast(Tensor, getattr(module, name)) for name in lists}
        learned = {name: dict(lists[name].named_parameters(recurse=False)) for name in lists}
        del module.parametrizations
        module.__class__ = type(module).__bases__[0]
        for name, value in values.items():
            if learned[name]:
                module.register_parameter(name, nn.Parameter(value.clone()))
            else:
                module.register_buffer(name, value.clone())


def _require_parameter(path: str, module: nn.Module) -> None:
    if isinstance(module, WeightLayer) and not isinstance(module.weight, nn.Parameter):
        raise GsnrError(
            f"{path} ({type(module).__name__}): its weight is no parameter but computed before "
            "each forward pass, as torch.nn.utils.weight_norm does. Take weight_norm or "
            "spectral_norm of torch.nn.utils.parametrizations."
        )


def _require_fixed_statistics(network: nn.Module) -> None:
    for name, module in network.named_modules():
        if not isinstance(module, _BatchNorm):
            continue
        where = f"{name or 'the network'} ({type(module).__name__})"
        if isinstance(module, FullBatchNorm):
            fixed = module.mode in {Mode.FIXED, Mode.TRACED}
        elif not is_torchs_own(module):
            raise GsnrError(
                f"{where}: it overrides what torch.nn.BatchNorm computes, so that it cannot be "
                "folded. Use torch.nn.BatchNorm layers themselves."
            )
        else:
            fixed = module.running_mean is not None
        if not fixed:
            raise GsnrError(
                f"{where}: it normalizes with the statistics of each batch, in eval mode too, so "
                "that the network is no function of one input and has no norms. Leave "
                "track_running_stats=True."
            )


def _without_norms(network: nn.Module, x: Tensor) -> nn.Module:
    """Fold what can be folded; `network` is changed."""
    graph = traced(network)
    values = replayed(graph, x)
    require_replay(network, x, values)
    before = network(x.clone())
    for norm, layer in _followed_layers(graph, values):
        _fold(layer, norm)
        _replace(network, norm, nn.Identity())
    if isinstance(before, Tensor) and not same_values(network(x.clone()), before):
        raise GsnrError(
            "The network with its batch normalization folded computes something else. Its forward "
            "pass reads a layer's weights itself, or a forward hook changes values: leave the "
            "weights to their layer and remove the hook."
        )
    return network


def _followed_layers(
    graph: fx.GraphModule, values: Mapping[fx.Node, Any]
) -> list[tuple[_BatchNorm, WeightLayer]]:
    """List each normalization that can be folded with the layer that it directly follows."""
    calls = [node for node in graph.graph.nodes if node.op == "call_module"]
    modules = {node: graph.get_submodule(str(node.target)) for node in calls}
    uses = Counter(map(id, modules.values()))
    # By node, the layer that its value is the output of, until something else is done to it.
    outputs: dict[fx.Node, WeightLayer] = {}
    found: list[tuple[_BatchNorm, WeightLayer]] = []
    for node, module in modules.items():
        source = node.args[0] if node.args else None
        layer = outputs.get(source) if isinstance(source, fx.Node) else None
        if isinstance(module, WeightLayer):
            if (
                uses[id(module)] == 1
                and is_torchs_own(module)
                and _by_channel(module, values[node])
            ):
                outputs[node] = module
        elif layer is None or _reads(cast(fx.Node, source), values) > 1:
            continue
        elif isinstance(module, _PASSES_ON):
            outputs[node] = layer
        elif isinstance(module, _BatchNorm) and uses[id(module)] == 1:
            outputs[node] = layer
            found.append((module, layer))
    return found


def _by_channel(layer: WeightLayer, output: Tensor) -> bool:
    """Tell whether the layer's outputs are channels of batch normalization, the second axis."""
    return not isinstance(layer, nn.Linear) or output.dim() == 2


def _reads(node: fx.Node, values: Mapping[fx.Node, Any]) -> int:
    """Count the operations that read a value; asking for its size does not count."""
    return sum(not is_size(values[user]) for user in node.users)


def _fold(layer: WeightLayer, norm: _BatchNorm) -> None:
    scale, shift = scale_and_shift(norm)
    weight = layer.weight * scale.view(-1, *(1 for _ in layer.weight.shape[1:]))
    bias = shift if layer.bias is None else shift + scale * layer.bias
    layer.weight = nn.Parameter(weight)
    layer.bias = nn.Parameter(bias)


def _replace(network: nn.Module, old: nn.Module, new: nn.Module) -> None:
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if child is old:
                setattr(parent, name, new)
