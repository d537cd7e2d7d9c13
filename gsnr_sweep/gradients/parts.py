"""A network cut into parts at its batch normalizations, for sets that are normalized as a whole.

A statistic of the whole set needs the inputs of its layer for all samples. Between two layers that
normalize, the samples go through the network chunk by chunk, and what is alive at a cut (the
layer's input and whatever later layers read besides) is kept for all samples. No chunk then has to
go through the layers before it again.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, fx, nn

from gsnr_sweep.gradients.batchnorm import FullBatchNorm, Mode, set_modes
from gsnr_sweep.gradients.cutting import Cutting, Place
from gsnr_sweep.gradients.tracing import NotTraceableError, traced

Values = list[Tensor]
"""What is alive at a cut, [N, ...] each; the input of the layer that normalizes comes first."""

_SAME = 1e-3  # of the largest output: rounding is below, another network above


@dataclass(frozen=True)
class Part:
    """A piece of a network, from one cut to the next.

    Attributes:
        run: Computes what is alive at its end from what is alive at its start.
        norms: Layers in it that normalize, in order.
        begins_at_norm: Whether the first of them is applied to the first value at the start.
    """

    run: Callable[[Values], Values]
    norms: list[FullBatchNorm]
    begins_at_norm: bool


def whole(model: Callable[[Tensor], Tensor], norms: list[FullBatchNorm]) -> list[Part]:
    """Return a network as one part."""
    return [Part(lambda values: [model(values[0])], norms, begins_at_norm=False)]


class CutNetwork:
    """A network with the places at which it can be cut; none if it cannot be traced."""

    def __init__(self, model: nn.Module, norms: list[FullBatchNorm], example: Tensor) -> None:
        """Find the places.

        Args:
            model: In evaluation mode, batch normalization replaced.
            norms: Its layers that normalize, in order.
            example: [N, ...] two inputs.
        """
        self._model, self._norms = model, norms
        self._cutting: Cutting | None = None
        try:
            self._graph = traced(model)
        except NotTraceableError:
            return
        self._nodes = list(self._graph.graph.nodes)
        self._place = {node: place for place, node in enumerate(self._nodes)}
        self._normalizing = [
            place
            for place, node in enumerate(self._nodes)
            if node.op == "call_module" and isinstance(self._layer(node), FullBatchNorm)
        ]
        values = self._values(example)
        if values is None:
            return
        places = self._places(values, len(example))
        if self._agrees(example, [place.position for place in places]):
            costs = [self._cost_of(node, values.get(node)) for node in self._nodes]
            self._cutting = Cutting(costs, self._normalizing, places)

    @torch.no_grad()
    def _values(self, example: Tensor) -> dict[fx.Node, Any] | None:
        """Compute every node's value, in the statistics that the layers have now."""
        set_modes(self._norms, Mode.FIXED)
        interpreter = fx.Interpreter(self._graph, garbage_collect_values=False)
        try:
            interpreter.run(example.clone())
        except Exception:
            return None
        return dict(interpreter.env)

    def _places(self, values: Mapping[fx.Node, Any], n: int) -> list[Place]:
        """List the places before which all that is alive has a value a sample."""
        places = []
        for position in self._normalizing:
            alive = [values.get(node) for node in self._alive(position)]
            if all(isinstance(value, Tensor) and value.shape[:1] == (n,) for value in alive):
                nodes = zip(self._alive(position), alive, strict=True)
                kept: dict[Hashable, int] = {node: cast(Tensor, v)[0].nbytes for node, v in nodes}
                places.append(Place(position, kept, sum(kept.values())))
        return places

    def _layer(self, node: fx.Node) -> nn.Module:
        return self._graph.get_submodule(str(node.target))

    def _alive(self, position: int) -> tuple[fx.Node, ...]:
        """Return the nodes that are read from a position on; what the layer there takes first."""
        later = (
            node
            for node in self._nodes[:position]
            if node.op != "get_attr" and any(self._place[user] >= position for user in node.users)
        )
        return tuple(dict.fromkeys([cast(fx.Node, self._nodes[position].args[0]), *later]))

    @torch.no_grad()
    def _agrees(self, example: Tensor, positions: Sequence[int]) -> bool:
        """Check that all parts give what the network gives.

        They do not where a hook of the network does something, or an operation in place changes
        what another node reads.
        """
        values = [example.clone()]
        for part in self._parts(positions):
            values = part.run([value.clone() for value in values])
        expected = self._model(example.clone())
        if not isinstance(expected, Tensor) or expected.shape != values[0].shape:
            return False
        apart = (values[0] - expected).abs().max()
        return bool(apart <= _SAME * expected.abs().max().clamp_min(torch.finfo(apart.dtype).tiny))

    def parts(self, n: int, memory: int, forward_only: bool = False) -> list[Part]:
        """Cut the network; see `Cutting.chosen` for the arguments."""
        if self._cutting is None:
            return whole(self._model, self._norms)
        chosen = self._cutting.chosen(n, memory, forward_only)
        return self._parts([place.position for place in chosen])

    def _cost_of(self, node: fx.Node, value: Any) -> float:
        """Multiplications of a node's weights with the inputs of a sample, or its values."""
        if not isinstance(value, Tensor):
            return 0.0
        layer = self._layer(node) if node.op == "call_module" else None
        weights = sum(p.numel() for p in layer.parameters()) if layer is not None else 0
        positions = value[0, 0].numel() if value.dim() > 2 else 1
        return max(weights * positions, value.numel() / len(value) if value.dim() else 0)

    def _parts(self, positions: Sequence[int]) -> list[Part]:
        """Cut the network before the nodes at some positions."""
        if not positions:
            return whole(self._model, self._norms)
        last = len(self._nodes) - 1
        inputs = tuple(node for node in self._nodes if node.op == "placeholder")
        outputs = tuple(self._nodes[last].all_input_nodes)
        alive = [inputs, *map(self._alive, positions), outputs]
        bounds = [0, *positions, last]
        return [
            self._part(bounds[i], bounds[i + 1], alive[i], alive[i + 1])
            for i in range(len(bounds) - 1)
        ]

    def _part(
        self, start: int, end: int, given: tuple[fx.Node, ...], wanted: tuple[fx.Node, ...]
    ) -> Part:
        inside = [n for n in self._nodes[start:end] if n.op != "placeholder"]
        read = {source for node in inside for source in node.all_input_nodes}
        outside = [node for node in read if node.op == "get_attr" and node not in inside]
        nodes = [*sorted(outside, key=self._place.__getitem__), *inside]
        layers = [self._layer(node) for node in inside if node.op == "call_module"]
        norms = [layer for layer in layers if isinstance(layer, FullBatchNorm)]
        # Kept for later passes: nothing may change them in place.
        copied = [start > 0 and len(node.users) > 1 for node in given]
        graph = self._graph

        def run(values: Values) -> Values:
            interpreter = fx.Interpreter(graph)
            env = interpreter.env
            for node, value, copy in zip(given, values, copied, strict=True):
                env[node] = value.clone() if copy else value
            for node in nodes:
                env[node] = interpreter.run_node(node)
            return [env[node] for node in wanted]

        return Part(run, norms, begins_at_norm=start > 0)
