"""Statistics of a whole set in batch normalization, and the gradient through them, exactly.

Liu et al. 2020, A.2. Which gradient is stepped and which is measured:
`gsnr_sweep.gradients.batchnorm`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import accumulate

import torch
from torch import Tensor

from gsnr_sweep.gradients.batchnorm import FullBatchNorm, Mode, ReachedError, set_modes
from gsnr_sweep.gradients.parts import Part, Values, whole

Batches = Callable[[], Iterator[tuple[Tensor, Tensor]]]
LossSum = Callable[[Tensor, Tensor], Tensor]


class Room:
    """Memory by name that is used again and again: fresh memory costs as much as filling it."""

    def __init__(self) -> None:
        """Start with none."""
        self._flat: dict[str, Tensor] = {}

    @property
    def bytes(self) -> int:
        """Memory held."""
        return sum(flat.nbytes for flat in self._flat.values())

    def free(self, start: str) -> None:
        """Give back the memory whose names start so."""
        self._flat = {name: flat for name, flat in self._flat.items() if not name.startswith(start)}

    def take(self, name: str, like: Values, n: int) -> Values:
        """Return memory for n samples of such values; what was taken by that name is lost."""
        likes = [value.detach() for value in like]
        sizes = [n * value[0].nbytes for value in likes]
        starts = [0, *accumulate(-(-size // _ALIGNED) * _ALIGNED for size in sizes)]
        flat = self._flat.get(name)
        if flat is None or len(flat) < starts[-1]:
            self._flat.pop(name, None)
            flat = self._flat[name] = likes[0].new_empty(starts[-1], dtype=torch.uint8)
        return [
            flat[start : start + size].view(value.dtype).view(n, *value.shape[1:])
            for start, size, value in zip(starts[:-1], sizes, likes, strict=True)
        ]


_ALIGNED = 64  # bytes
_FORWARD, _BOTH_WAYS = "forward", "both ways"
"""Names of memory. Each fills the room there is: one is given back before the other is taken."""


class _Kept:
    """Values of all samples at a cut, [n, ...] each, written and read chunk by chunk."""

    def __init__(self, n: int, room: Room, name: str) -> None:
        self._n, self._room, self._name = n, room, name
        self._tensors: Values = []

    def write(self, start: int, values: Values) -> None:
        if not self._tensors:
            self._tensors = self._room.take(self._name, values, self._n)
        for tensor, value in zip(self._tensors, values, strict=True):
            tensor[start : start + len(value)] = value

    def read(self, start: int, end: int) -> Values:
        return [tensor[start:end] for tensor in self._tensors]


class _Passes:
    """Passes over a set through the parts of a network, with what is kept between them."""

    def __init__(self, parts: Sequence[Part], batches: Batches, room: Room | None) -> None:
        self.parts = parts
        self.room = room or Room()
        self._batches = batches
        self._ends: list[int] = []
        if len(parts) > 1:
            total = 0
            for x, _ in batches():
                total += len(x)
                self._ends.append(total)
        self.kept: dict[int, _Kept] = {}  # what is alive at the start of a part

    @property
    def n(self) -> int:
        return self._ends[-1]

    def chunks(self, place: int) -> Iterator[Values]:
        """Go through the set: what is alive at a part's start."""
        if place == 0:
            yield from ([x] for x, _ in self._batches())
            return
        for start, end in self.bounds():
            yield self.kept[place].read(start, end)

    def bounds(self) -> Iterator[tuple[int, int]]:
        yield from zip([0, *self._ends[:-1]], self._ends, strict=True)

    def with_targets(self, place: int) -> Iterator[tuple[Values, Tensor]]:
        """The same, with the samples' targets."""
        if place == 0:
            yield from (([x], y) for x, y in self._batches())
            return
        targets = (y for _, y in self._batches())
        yield from zip(self.chunks(place), targets, strict=True)

    @torch.no_grad()
    def set_statistics(self, then: Mode = Mode.FIXED, forward_only: bool = False) -> None:
        """Set every layer's statistics to the set's at the present weights.

        Layer after layer, since a layer's input depends on the statistics of those before it.

        Args:
            then: Mode of the layers from then on.
            forward_only: Whether nothing is kept that no later part needs.
        """
        self.room.free(_BOTH_WAYS if forward_only else _FORWARD)
        for place, part in enumerate(self.parts):
            for norm in part.norms[1:] if part.begins_at_norm else part.norms:
                norm.start_collecting()
                for values in self.chunks(place):
                    with suppress(ReachedError):
                        part.run(values)
                norm.finish_collecting(then)
            if place + 1 < len(self.parts):
                name = f"{_FORWARD} {place % 2}" if forward_only else f"{_BOTH_WAYS} {place}"
                self._go_on(place, then, name)
            if forward_only:
                self.kept.pop(place, None)

    def _go_on(self, place: int, then: Mode, name: str) -> None:
        """Compute what is alive at a part's end, and the statistics of the layer that is there."""
        norm = self.parts[place + 1].norms[0]
        kept = _Kept(self.n, self.room, name)
        norm.start_collecting()
        for (start, _), values in zip(self.bounds(), self.chunks(place), strict=True):
            reached = self.parts[place].run(values)
            norm.add(reached[0])
            kept.write(start, reached)
        norm.finish_collecting(then)
        self.kept[place + 1] = kept


@torch.no_grad()
def use_full_batch_statistics(
    model: Callable[[Tensor], Tensor],
    norms: list[FullBatchNorm],
    batches: Batches,
    n_batches: int,
    *,
    parts: Sequence[Part] | None = None,
    room: Room | None = None,
    follow: bool = False,
) -> None:
    """Set every layer's statistics to the training set's at the current weights, then fix them.

    A single batch needs a single pass; several need one a layer, or through each part of the
    network one for each of its layers.

    Args:
        model: The network; with dual numbers for weights where statistics follow them.
        norms: Its normalization layers, in the order of the forward pass.
        batches: Starts a pass over the training set.
        n_batches: Number of batches in a pass.
        parts: The network in parts (`gsnr_sweep.gradients.parts.CutNetwork`); None for one.
        room: Memory for what is kept between the parts; None for fresh memory.
        follow: Whether statistics are functions of the weights, whose tangents reach them.
    """
    at_once, then = (Mode.FOLLOWED, Mode.TRACED) if follow else (Mode.BATCH, Mode.FIXED)
    if n_batches == 1:
        set_modes(norms, at_once)
        for x, _ in batches():
            model(x)
        set_modes(norms, then)
        return
    passes = _Passes(parts or whole(model, norms), batches, room)
    passes.set_statistics(then, forward_only=True)


def full_batch_gradient(
    parts: Sequence[Part],
    batches: Batches,
    loss_sum: LossSum,
    parameters: Sequence[Tensor],
    room: Room | None = None,
) -> list[Tensor]:
    """Differentiate the summed loss by the parameters, through the full-batch statistics, exactly.

    With statistics s_1 … s_L, each a sum over samples of functions t_l(θ, s_1 … s_{l−1}), the
    adjoint a_l of s_l is the derivative by s_l of Σ_i loss_i + Σ_{k>l} a_k·t_k. Within a part, one
    pass over the chunks a layer gives them from the last to the first, and a final pass gives the
    gradient by θ and by what is alive at the part's start, at fixed s. If a part begins with a
    layer, that pass gives the layer's adjoint, too: its share in the gradient by the layer's input
    is then added to what was kept. So a network in one part takes L + 1 backward and as many
    forward passes in the memory of one chunk; one that is cut at every layer takes one backward
    and two forward passes.

    Args:
        parts: The network; its statistics are set here.
        batches: Starts a pass over the training set.
        loss_sum: Sum over a batch of the losses, from outputs and targets.
        parameters: By which to differentiate.
        room: Memory for what is kept between the parts; None for fresh memory.

    Returns:
        One float64 tensor a parameter.
    """
    passes = _Passes(parts, batches, room)
    passes.set_statistics()
    norms = [norm for part in parts for norm in part.norms]
    for norm in norms:
        norm.start_tracing()
    gradient = _zeros(parameters)
    above: _Kept | None = None  # gradients by the values at the end of the part
    for place in reversed(range(len(parts))):
        above = _Backward(passes, place, above, loss_sum).by(parameters, gradient)
        passes.kept.pop(place, None)
    for norm in norms:
        norm.stop_tracing()
    return gradient


class _Backward:
    """Backward passes through one part."""

    def __init__(self, passes: _Passes, place: int, above: _Kept | None, loss_sum: LossSum) -> None:
        self._passes, self._place = passes, place
        self._part = passes.parts[place]
        self._above, self._loss_sum = above, loss_sum
        self._adjoints: dict[FullBatchNorm, list[Tensor]] = {}

    def by(self, parameters: Sequence[Tensor], gradient: Sequence[Tensor]) -> _Kept | None:
        """Add the gradient by the parameters; return that by the values at the part's start."""
        norms = self._part.norms
        first = norms[0] if self._part.begins_at_norm else None
        for norm in reversed(norms[1:] if first else norms):
            adjoint = _zeros([norm.mean, norm.var])
            for *_, parts in self._differentiated([norm.mean, norm.var]):
                _add(adjoint, parts)
            self._adjoints[norm] = adjoint
        if first is None:
            for *_, parts in self._differentiated(parameters):
                _add(gradient, parts)
            return None
        adjoint = _zeros([first.mean, first.var])
        name = f"{_BOTH_WAYS} gradient {self._place % 2}"
        below = _Kept(self._passes.n, self._passes.room, name)
        start = 0
        count = len(parameters)
        for leaves, parts in self._differentiated([*parameters, first.mean, first.var], True):
            _add(gradient, parts[:count])
            _add(adjoint, parts[count : count + 2])
            below.write(start, parts[count + 2 :])
            start += len(leaves[0])
        with torch.no_grad():
            for bounds in self._passes.bounds():
                x = self._passes.kept[self._place].read(*bounds)[0]
                below.read(*bounds)[0].add_(first.pull_back(x, adjoint))
        return below

    def _differentiated(
        self, variables: Sequence[Tensor], by_start: bool = False
    ) -> Iterator[tuple[Values, list[Tensor]]]:
        """Go through the set: a chunk's values at the start, and the derivatives of its share."""
        bounds = self._passes.bounds() if self._above else iter(())
        for values, y in self._passes.with_targets(self._place):
            leaves = [v.detach().requires_grad_() for v in values] if by_start else values
            with torch.enable_grad():
                reached = self._part.run(leaves)
                shares = [
                    (a * share.double()).sum()
                    for norm, adjoint in self._adjoints.items()
                    for a, share in zip(adjoint, norm.traced_statistics(), strict=True)
                ]
                heads: list[tuple[Tensor, Tensor | None]] = [(share, None) for share in shares]
                if self._above is None:
                    heads.append((self._loss_sum(reached[0], y), None))
                else:
                    heads += zip(reached, self._above.read(*next(bounds)), strict=True)
            heads = [(head, weight) for head, weight in heads if head.requires_grad]
            outputs, weights = zip(*heads, strict=True)
            inputs = [*variables, *leaves] if by_start else variables
            found = torch.autograd.grad(outputs, inputs, weights, materialize_grads=True)
            yield values, list(found)


def differentiate(
    model: Callable[[Tensor], Tensor],
    batches: Batches,
    loss_sum: LossSum,
    variables: Sequence[Tensor],
) -> list[Tensor]:
    """Differentiate the summed loss chunk by chunk.

    Returns:
        One float64 tensor a variable.
    """
    total = _zeros(variables)
    for x, y in batches():
        with torch.enable_grad():
            objective = loss_sum(model(x), y)
        _add(total, torch.autograd.grad(objective, variables, materialize_grads=True))
    return total


def _zeros(like: Iterable[Tensor]) -> list[Tensor]:
    return [torch.zeros_like(tensor, dtype=torch.float64) for tensor in like]


def _add(total: Iterable[Tensor], parts: Iterable[Tensor]) -> None:
    for accumulated, part in zip(total, parts, strict=True):
        accumulated += part
