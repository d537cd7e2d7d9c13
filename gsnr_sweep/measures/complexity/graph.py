"""A network as a graph of the operations that its norms are defined for."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from gsnr_sweep.errors import GsnrError, describe_exception
from gsnr_sweep.gradients import tracing
from gsnr_sweep.gradients.batchnorm import FullBatchNorm

Shape = tuple[int, ...]
_BatchNorm = nn.modules.batchnorm._BatchNorm
Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d
WeightLayer = nn.Linear | Convolution

SAME = 1e-9
"""Relative difference up to which two float64 computations of an output count as the same."""


class Operation(Enum):
    """What a step of a network does."""

    INPUT = "the network's input"
    WEIGHT = "a linear or convolutional layer"
    DIAGONAL = "batch normalization with fixed statistics: a scale and a shift a channel"
    RELU = "max(x, 0)"
    MAX_POOL = "maximum over windows"
    AVERAGE_POOL = "mean over windows"
    RESHAPE = "the same values in another shape"
    IDENTITY = "nothing, as dropout in eval mode"
    ADD = "the sum of two branches"


@dataclass(frozen=True)
class Step:
    """One operation of a network, at one place of it.

    Attributes:
        name: Dotted name and class of the layer, or name of the function.
        operation: What it does.
        layer: The layer of torch.nn that does it, if it has weights or windows.
        reads: Positions of the steps whose outputs it takes.
        input_shape: Shape of what it takes, without the sample axis.
        output_shape: Shape of what it gives, without the sample axis.
    """

    name: str
    operation: Operation
    layer: nn.Module | None
    reads: tuple[int, ...]
    input_shape: Shape
    output_shape: Shape


@dataclass(frozen=True)
class Network:
    """Steps in the order of a forward pass, the input first and the output last."""

    steps: tuple[Step, ...]

    @property
    def weight_steps(self) -> tuple[Step, ...]:
        """The linear and convolutional layers; one that is used twice is there twice."""
        return tuple(step for step in self.steps if step.operation is Operation.WEIGHT)

    @property
    def branching(self) -> Step | None:
        """The first sum of branches, or None if the network is a chain."""
        return next((step for step in self.steps if step.operation is Operation.ADD), None)

    @property
    def diagonal(self) -> Step | None:
        """The first batch normalization that is not folded, or None."""
        return next((step for step in self.steps if step.operation is Operation.DIAGONAL), None)


def weight_of(step: Step) -> Tensor:
    """The weight of a linear or convolutional layer, out first."""
    return cast(WeightLayer, step.layer).weight


def bias_of(step: Step) -> Tensor | None:
    """The bias of a linear or convolutional layer, [out], if it has one."""
    return cast(WeightLayer, step.layer).bias


def without_bias(layer: nn.Module, weight: Tensor, x: Tensor) -> Tensor:
    """Apply the linear map of a layer, with another weight in the place of its own.

    Args:
        layer: A linear or convolutional layer: gives stride, padding and the like.
        weight: Of the shape of the layer's own.
        x: Inputs, [N, ...].

    Returns:
        Outputs without the bias, [N, ...].
    """
    if isinstance(layer, nn.Linear):
        return F.linear(x, weight)
    return cast(Tensor, cast(Convolution, layer)._conv_forward(x, weight, None))


def read_network(model: nn.Module, example: Tensor) -> Network:
    """Read which operations a network applies, and to what.

    The network is traced symbolically (torch.fx). What was read is then computed operation by
    operation and compared with the network's own output, so that forward hooks, or operations in
    place on values that are read again, cannot go unseen.

    Args:
        model: In eval mode and float64, without parametrizations, as `folding.folded` returns it.
        example: Inputs, [N, ...] with N ≥ 1.

    Raises:
        GsnrError: The network cannot be traced, applies another operation than those of
            `Operation`, or has weights that are not finite.
    """
    graph = traced(model)
    modules = {
        node: graph.get_submodule(str(node.target))
        for node in graph.graph.nodes
        if node.op == "call_module"
    }
    known = {node: _of_module(node, module) for node, module in modules.items()}
    _require_finite(modules)
    x = two_samples(example, model)
    values = replayed(graph, x)
    steps = _steps(graph, known, values)
    require_replay(model, x, values)
    return Network(steps)


def _steps(
    graph: fx.GraphModule,
    known: Mapping[fx.Node, tuple[Operation, nn.Module]],
    values: Mapping[fx.Node, Any],
) -> tuple[Step, ...]:
    needed = _ancestors(graph.graph.output_node())
    positions: dict[fx.Node, int] = {}
    steps: list[Step] = []
    for node in graph.graph.nodes:
        if node not in needed or is_size(values[node]):
            continue
        name = describe(node, graph)
        operation, layer = known.get(node) or _of_function(node, graph)
        output = _shape(name, values[node])
        sources = _sources(node, operation, values, name)
        shapes = [tuple(values[source].shape[1:]) for source in sources] or [output]
        if operation is Operation.ADD and len(set(shapes)) > 1:
            both = " and ".join(str(list(shape)) for shape in shapes)
            raise _refusal(name, f"it adds values of shapes {both}")
        positions[node] = len(steps)
        reads = tuple(positions[source] for source in sources)
        steps.append(Step(name, operation, layer, reads, shapes[0], output))
    if not isinstance(graph.graph.output_node().args[0], fx.Node):
        raise GsnrError(
            "The network gives more than one output. Norms are defined for networks that take one "
            "tensor and give one."
        )
    return tuple(steps)


def traced(model: nn.Module) -> fx.GraphModule:
    """Trace a network symbolically, down to the layers of torch.nn.

    Raises:
        GsnrError: It cannot be traced; the text names the innermost module.
    """
    try:
        return tracing.traced(model)
    except tracing.NotTraceableError as error:
        raise GsnrError(
            f"The network cannot be traced at {error}. Its forward pass may not depend on the "
            "values or sizes of its inputs; torch.fx lists the limits. Norms need to know which "
            "operations it applies."
        ) from error


def describe(node: fx.Node, graph: fx.GraphModule) -> str:
    """Name a layer by dotted name and class, or a function by its name and where it is called."""
    if node.op == "call_module":
        return f"{node.target} ({type(graph.get_submodule(str(node.target))).__name__})"
    name = str(node.target)
    if node.op == "placeholder":
        return name
    if node.op.startswith("call"):
        name = f"function {getattr(node.target, '__name__', name)}"
    modules = list(node.meta.get("nn_module_stack", {}).values())
    path, cls = modules[-1] if modules else ("", None)
    return f"{name} in {path} ({cls.__name__})" if path and cls else name


def two_samples(example: Tensor, model: nn.Module) -> Tensor:
    """Two inputs in the precision and on the device of a network.

    Two, so that the sample axis can be told from an axis of length one.

    Raises:
        GsnrError: There is no example.
    """
    if example.dim() < 2 or not len(example):
        raise GsnrError(
            f"An example needs a sample axis and one sample at least, [N, ...]; found shape "
            f"{list(example.shape)}."
        )
    pair = example[:2] if len(example) > 1 else torch.cat([example, example])
    first = next(iter(model.parameters()), pair)
    dtype = first.dtype if pair.is_floating_point() else pair.dtype
    return pair.detach().to(first.device, dtype)


@torch.no_grad()
def replayed(graph: fx.GraphModule, x: Tensor) -> Mapping[fx.Node, Any]:
    """Compute a traced network operation by operation, each on values of its own.

    Args:
        graph: What was traced, in eval mode.
        x: Its input.

    Returns:
        The value of each operation.

    Raises:
        GsnrError: The network fails on `x`.
    """
    replay = _Replay(graph)
    try:
        replay.run(x)
    except Exception as error:
        raise GsnrError(
            f"The network fails on an example of shape {list(x.shape)} and type {x.dtype}: "
            f"{describe_exception(error)}."
        ) from error
    return replay.values


@torch.no_grad()
def require_replay(model: nn.Module, x: Tensor, values: Mapping[fx.Node, Any]) -> None:
    """Require that a network gives what its operations give one after the other.

    Raises:
        GsnrError: It gives something else.
    """
    *_, found = values.values()
    expected = model(x.clone())
    if isinstance(expected, Tensor) and not same_values(found, expected):
        raise GsnrError(
            "The network's output is not what its layers give one after the other. A forward hook "
            "changes it, an operation in place overwrites what is read again, or something is "
            "drawn at random in eval mode: remove that."
        )


def same_values(found: Tensor, expected: Tensor) -> bool:
    """Tell whether two outputs agree up to rounding, relative to the largest value."""
    scale = float(expected.abs().nan_to_num(0.0, posinf=0.0).max()) if expected.numel() else 0.0
    return found.shape == expected.shape and torch.allclose(
        found, expected, rtol=SAME, atol=SAME * scale, equal_nan=True
    )


class _Replay(fx.Interpreter):
    """Runs each operation on copies and each layer without its hooks."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph, garbage_collect_values=False)
        self.values: dict[fx.Node, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        self.values[n] = super().run_node(n)
        return self.values[n]

    def fetch_args_kwargs_from_env(self, n: fx.Node) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return cast(
            tuple[tuple[Any, ...], dict[str, Any]],
            pytree.tree_map_only(Tensor, torch.clone, super().fetch_args_kwargs_from_env(n)),
        )

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self.fetch_attr(target).forward(*args, **kwargs)


def _refusal(name: str, problem: str) -> GsnrError:
    return GsnrError(
        f"{name}: {problem}. Norms are defined for networks of linear and convolutional layers "
        "(zero padding), ReLU, max and average pooling, batch normalization, dropout, flattening "
        "and sums of two branches."
    )


_UNKNOWN = "this operation has no path or layer norm of a ReLU network"

_MODULES: dict[type[nn.Module], Operation] = {
    nn.Linear: Operation.WEIGHT,
    **dict.fromkeys((nn.Conv1d, nn.Conv2d, nn.Conv3d), Operation.WEIGHT),
    **dict.fromkeys((_BatchNorm, FullBatchNorm), Operation.DIAGONAL),
    nn.ReLU: Operation.RELU,
    **dict.fromkeys((nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d), Operation.MAX_POOL),
    **dict.fromkeys((nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d), Operation.AVERAGE_POOL),
    nn.AdaptiveAvgPool1d: Operation.AVERAGE_POOL,
    nn.AdaptiveAvgPool2d: Operation.AVERAGE_POOL,
    nn.AdaptiveAvgPool3d: Operation.AVERAGE_POOL,
    nn.Flatten: Operation.RESHAPE,
    **dict.fromkeys(
        (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d), Operation.IDENTITY
    ),
}

_POOLS: dict[Any, type[nn.Module]] = {
    F.max_pool1d: nn.MaxPool1d,
    F.max_pool2d: nn.MaxPool2d,
    F.max_pool3d: nn.MaxPool3d,
    F.avg_pool1d: nn.AvgPool1d,
    F.avg_pool2d: nn.AvgPool2d,
    F.avg_pool3d: nn.AvgPool3d,
    F.adaptive_avg_pool1d: nn.AdaptiveAvgPool1d,
    F.adaptive_avg_pool2d: nn.AdaptiveAvgPool2d,
    F.adaptive_avg_pool3d: nn.AdaptiveAvgPool3d,
}

_FUNCTIONS: dict[Any, Operation] = {
    **dict.fromkeys((F.relu, F.relu_, torch.relu, torch.relu_, "relu", "relu_"), Operation.RELU),
    **dict.fromkeys((torch.flatten, torch.reshape), Operation.RESHAPE),
    **dict.fromkeys(("flatten", "view", "reshape"), Operation.RESHAPE),
    **dict.fromkeys((operator.add, operator.iadd, torch.add, "add", "add_"), Operation.ADD),
    **dict.fromkeys((F.dropout, F.dropout1d, F.dropout2d, F.dropout3d), Operation.IDENTITY),
    "contiguous": Operation.IDENTITY,
}


def is_torchs_own(module: nn.Module) -> bool:
    """Tell whether a layer computes what its class of torch.nn does, and nothing of its own."""
    return type(module).forward.__module__.startswith("torch.nn.modules.")


def _of_module(node: fx.Node, module: nn.Module) -> tuple[Operation, nn.Module]:
    name = f"{node.target} ({type(module).__name__})"
    for cls, operation in _MODULES.items():
        if isinstance(module, cls) and (is_torchs_own(module) or cls is FullBatchNorm):
            if getattr(module, "padding_mode", "zeros") != "zeros":
                raise _refusal(name, f"it pads with padding_mode={module.padding_mode}")
            return operation, module
    raise _refusal(name, _UNKNOWN)


def _of_function(node: fx.Node, graph: fx.GraphModule) -> tuple[Operation, nn.Module | None]:
    name = describe(node, graph)
    if node.op == "placeholder":
        return Operation.INPUT, None
    if node.op == "get_attr":
        raise _refusal(
            name, "the forward pass reads this tensor itself, not by a layer of torch.nn"
        )
    if node.target in _POOLS:
        layer = _POOLS[node.target](**_arguments(node, graph))
        maximum = isinstance(layer, nn.MaxPool1d | nn.MaxPool2d | nn.MaxPool3d)
        return Operation.MAX_POOL if maximum else Operation.AVERAGE_POOL, layer
    operation = _FUNCTIONS.get(node.target)
    if operation is None:
        raise _refusal(name, _UNKNOWN)
    # Dropout that is not told of eval mode drops even there, and the replay draws anew.
    if operation is Operation.IDENTITY and _arguments(node, graph).get("training"):
        raise _refusal(name, "it drops out in eval mode, too: give it training=self.training")
    if operation is Operation.ADD and node.kwargs.get("alpha", 1) != 1:
        raise _refusal(name, f"it multiplies a branch with alpha={node.kwargs['alpha']}")
    return operation, None


def _arguments(node: fx.Node, graph: fx.GraphModule) -> dict[str, Any]:
    """The arguments of a function by name, without its input."""
    if node.op == "call_method":
        return {}
    found = node.normalized_arguments(graph, normalize_to_only_use_kwargs=True)
    assert found is not None
    # A pooling's stride may be said to be [], which stands for the window's size.
    return {k: None if v == [] else v for k, v in found.kwargs.items() if k != "input"}


def _sources(
    node: fx.Node, operation: Operation, values: Mapping[fx.Node, Any], name: str
) -> list[fx.Node]:
    """The nodes whose values an operation takes; one that is added to itself is there twice."""
    found = [
        a
        for a in (*node.args, *node.kwargs.values())
        if isinstance(a, fx.Node) and isinstance(values[a], Tensor)
    ]
    needed = {Operation.INPUT: 0, Operation.ADD: 2}.get(operation, 1)
    if len(found) != needed:
        raise _refusal(name, f"it takes {len(found)} values that are computed, not {needed}")
    return found


def is_size(value: Any) -> bool:
    """Tell whether a value says how large a tensor is."""
    sizes = value if isinstance(value, tuple) else (value,)
    return all(isinstance(size, int) for size in sizes)


def _shape(name: str, value: Any) -> Shape:
    """The shape of a value for two samples, without the sample axis."""
    if not isinstance(value, Tensor):
        raise _refusal(name, f"it gives a {type(value).__name__}, no tensor")
    if value.dim() < 1 or len(value) != 2:
        raise _refusal(
            name,
            f"it gives a tensor of shape {list(value.shape)} for two samples, so that the first "
            "axis is no longer that of the samples",
        )
    return tuple(value.shape[1:])


def _require_finite(modules: Mapping[fx.Node, nn.Module]) -> None:
    for node, module in modules.items():
        tensors = dict(module.named_parameters()) | dict(module.named_buffers())
        for name, tensor in tensors.items():
            if not bool(tensor.isfinite().all()):
                raise GsnrError(
                    f"{node.target}.{name} holds NaN or infinite values, so that the network has "
                    "no norms: its training diverged."
                )


def _ancestors(node: fx.Node) -> set[fx.Node]:
    """The nodes that a node's value depends on, without itself."""
    found: set[fx.Node] = set()
    waiting = list(node.all_input_nodes)
    while waiting:
        source = waiting.pop()
        if source not in found:
            found.add(source)
            waiting += source.all_input_nodes
    return found
