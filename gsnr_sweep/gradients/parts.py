"""A network cut into parts at its batch normalizations, for sets that are normalized as a whole.

A statistic of the whole set needs the inputs of its layer for all samples. Between two layers that
normalize, the samples go through the network chunk by chunk, and what is alive at a cut (the
layer's input and whatever later layers read besides) is kept for all samples. No chunk then has to
go through the layers before it again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from gsnr_sweep.gradients.batchnorm import FullBatchNorm, Mode, set_modes
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


@dataclass(frozen=True)
class _Cut:
    """A place before a layer that normalizes.

    Attributes:
        place: Position of the layer among the graph's nodes.
        alive: The nodes whose values are read at that place or later, the layer's input first.
    """

    place: int
    alive: tuple[fx.Node, ...]


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
        self._cuts: list[_Cut] = []
        self._sizes: dict[fx.Node, int] = {}
        self._normalizing: list[int] = []
        try:
            self._graph = traced(model)
        except NotTraceableError:
            return
        self._nodes = list(self._graph.graph.nodes)
        self._place = {node: place for place, node in enumerate(self._nodes)}
        values = self._values(example)
        if values is not None:
            self._cuts = self._usable_cuts(values, len(example))
            self._costs = [self._cost_of(node, values[node]) for node in self._nodes]
            if not self._agrees(example):
                self._cuts = []

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

    def _usable_cuts(self, values: Mapping[fx.Node, Any], n: int) -> list[_Cut]:
        cuts = []
        self._normalizing = [
            place
            for place, node in enumerate(self._nodes)
            if node.op == "call_module" and isinstance(self._layer(node), FullBatchNorm)
        ]
        for place in self._normalizing:
            node = self._nodes[place]
            alive = self._alive(place, node.args[0])
            if all(isinstance(v := values.get(a), Tensor) and v.shape[:1] == (n,) for a in alive):
                cuts.append(_Cut(place, alive))
        self._sizes = {a: values[a][0].nbytes for cut in cuts for a in cut.alive}
        return cuts

    def _layer(self, node: fx.Node) -> nn.Module:
        return self._graph.get_submodule(str(node.target))

    def _alive(self, place: int, first: Any) -> tuple[fx.Node, ...]:
        later = (
            node
            for node in self._nodes[:place]
            if node.op != "get_attr" and any(self._place[user] >= place for user in node.users)
        )
        return tuple(dict.fromkeys([first, *later]))

    @torch.no_grad()
    def _agrees(self, example: Tensor) -> bool:
        """Check that the parts give what the network gives.

        They do not where a hook of the network does something, or an operation in place changes
        what another node reads.
        """
        values = [example.clone()]
        for part in self._parts(self._cuts):
            values = part.run([value.clone() for value in values])
        expected = self._model(example.clone())
        if not isinstance(expected, Tensor) or expected.shape != values[0].shape:
            return False
        apart = (values[0] - expected).abs().max()
        return bool(apart <= _SAME * expected.abs().max().clamp_min(torch.finfo(apart.dtype).tiny))

    def parts(self, n: int, memory: int) -> list[Part]:
        """Cut the network where it saves most for the memory that it takes.

        What is kept are, for n samples, the values that are alive at the cuts and, of one cut at a
        time, their gradients twice.

        Args:
            n: Number of samples.
            memory: Bytes that may be kept.
        """
        chosen: list[_Cut] = []
        left = list(self._cuts)
        while left:
            costs = {cut.place: self._cost([*chosen, cut]) for cut in left}
            now = self._cost(chosen)
            best = max(left, key=lambda cut: (now - costs[cut.place]) / self._bytes([cut]))
            left.remove(best)
            if n * self._bytes([*chosen, best]) <= memory:
                chosen.append(best)
        return self._parts(chosen)

    def _bytes(self, cuts: Sequence[_Cut]) -> int:
        """Bytes a sample that are kept with these cuts."""
        of = {a: self._sizes[a] for cut in cuts for a in cut.alive}
        return sum(of.values()) + 2 * max(sum(of[a] for a in cut.alive) for cut in cuts)

    def _cost(self, cuts: Sequence[_Cut]) -> float:
        """Passes through the network: through each part as many as it has layers that normalize."""
        ends = sorted(cut.place for cut in cuts)
        total = 0.0
        for start, end in zip([0, *ends], [*ends, len(self._nodes)], strict=True):
            norms = sum(start <= place < end for place in self._normalizing)
            passes = norms if start else norms + 1
            total += passes * sum(self._costs[start:end])
        return total

    def _cost_of(self, node: fx.Node, value: Any) -> float:
        """Multiplications of a node's weights with the inputs of a sample, or its values."""
        if not isinstance(value, Tensor):
            return 0.0
        layer = self._layer(node) if node.op == "call_module" else None
        weights = sum(p.numel() for p in layer.parameters()) if layer is not None else 0
        positions = value[0, 0].numel() if value.dim() > 2 else 1
        return max(weights * positions, value.numel() / len(value) if value.dim() else 0)

    def _parts(self, cuts: Sequence[_Cut]) -> list[Part]:
        if not cuts:
            return whole(self._model, self._norms)
        ordered = sorted(cuts, key=lambda cut: cut.place)
        inputs = tuple(node for node in self._nodes if node.op == "placeholder")
        starts = [_Cut(0, inputs), *ordered]
        output = self._nodes[-1]
        ends = [*ordered, _Cut(len(self._nodes) - 1, tuple(output.all_input_nodes))]
        return [
            self._part(start, end, begins_at_norm=start.place > 0)
            for start, end in zip(starts, ends, strict=True)
        ]

    def _part(self, start: _Cut, end: _Cut, begins_at_norm: bool) -> Part:
        inside = [n for n in self._nodes[start.place : end.place] if n.op != "placeholder"]
        read = {source for node in inside for source in node.all_input_nodes}
        outside = [node for node in read if node.op == "get_attr" and node not in inside]
        nodes = [*sorted(outside, key=self._place.__getitem__), *inside]
        layers = [self._layer(node) for node in inside if node.op == "call_module"]
        norms = [layer for layer in layers if isinstance(layer, FullBatchNorm)]
        # Kept for later passes: nothing may change them in place.
        copied = [begins_at_norm and len(node.users) > 1 for node in start.alive]
        graph, alive = self._graph, end.alive

        def run(values: Values) -> Values:
            interpreter = fx.Interpreter(graph)
            env = interpreter.env
            for node, value, copy in zip(start.alive, values, copied, strict=True):
                env[node] = value.clone() if copy else value
            for node in nodes:
                env[node] = interpreter.run_node(node)
            return [env[node] for node in alive]

        return Part(run, norms, begins_at_norm)
