"""The layers of M fully connected ReLU networks as views of one stack of weights."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor, nn

from gsnr_sweep.engine.chunking import even
from gsnr_sweep.gradients.parameters import Parameter

# Activations of the replicas in a pass. Measured on the 2-N-1 networks (N 6 and 20, n 50 to 6000)
# from 1 to 8 MB: below 4 MB the calls of so many small passes cost more than the caches save.
CPU_BYTES = 4_000_000
_FEWEST_SAMPLES = 256


@dataclass(frozen=True)
class StackedLayer:
    """A linear layer of every replica, views of the stack in the run's dtype.

    Attributes:
        weight: [M, out, in].
        bias: [M, out, 1]; None without one.
        places: Where weight and bias are in a row of the stack; None where they are not trained.
        relu: Whether ReLU follows.
    """

    weight: Tensor
    bias: Tensor | None
    places: tuple[slice | None, slice | None]
    relu: bool

    def of(self, rows: slice) -> StackedLayer:
        """Return the layer of some of the replicas."""
        bias = None if self.bias is None else self.bias[rows]
        return replace(self, weight=self.weight[rows], bias=bias)


def linear_layers(model: nn.Module) -> list[tuple[str, nn.Linear, bool]] | None:
    """List the layers of a fully connected ReLU network: name, layer, whether ReLU follows.

    Returns:
        None if the network is anything else than an optional Flatten, then linear layers with or
        without ReLU between them, the last one without.
    """
    if not isinstance(model, nn.Sequential) or type(model).forward is not nn.Sequential.forward:
        return None
    children = list(model.named_children())
    if children and _is_plain_flatten(children[0][1]):
        children = children[1:]
    found: list[tuple[str, nn.Linear, bool]] = []
    for name, child in children:
        if type(child) is nn.Linear:
            found.append((name, child, False))
        elif type(child) is nn.ReLU and found and not found[-1][2]:
            found[-1] = (*found[-1][:2], True)
        else:
            return None
    once = len(model) == len(list(model.children()))  # named_children leaves out what comes again
    tied = len({id(layer.weight) for _, layer, _ in found}) < len(found)
    return found if found and once and not tied and not found[-1][2] else None


def _is_plain_flatten(module: nn.Module) -> bool:
    return type(module) is nn.Flatten and (module.start_dim, module.end_dim) == (1, -1)


class Scratch(threading.local):
    """Memory of each thread's own that passes use again and again."""

    def __init__(self, like: Tensor) -> None:
        """Start with nothing.

        Args:
            like: Says dtype and device.
        """
        self._like = like
        self._flat: dict[str, Tensor] = {}
        self._views: dict[tuple[str, tuple[int, ...]], Tensor] = {}

    def take(self, name: str, *shape: int) -> Tensor:
        """Return a tensor of this shape; it holds anything."""
        view = self._views.get((name, shape))
        if view is None:
            view = self._views[name, shape] = self._make(name, shape)
        return view

    def _make(self, name: str, shape: tuple[int, ...]) -> Tensor:
        size = math.prod(shape)
        if name not in self._flat or len(self._flat[name]) < size:
            self._flat[name] = self._like.new_empty(size)
        return self._flat[name][:size].view(shape)


def stacked_layers(
    model: nn.Module, working: Tensor, parameters: Sequence[Parameter]
) -> list[StackedLayer]:
    """Find every layer's weights in the stack.

    Args:
        model: A network that `linear_layers` knows; weights that are not trained are its own.
        working: [M, P] trained weights.
        parameters: Their places in a row.
    """
    places = {p.name: slice(p.start, p.stop) for p in parameters}

    def values(name: str, own: Tensor) -> Tensor:
        shape = (len(working), len(own), -1)
        if name in places:
            return working[:, places[name]].view(shape)
        return own.detach().view(1, len(own), -1).expand(shape)

    found = linear_layers(model)
    assert found is not None
    return [
        StackedLayer(
            values(f"{name}.weight", layer.weight),
            None if layer.bias is None else values(f"{name}.bias", layer.bias),
            (places.get(f"{name}.weight"), places.get(f"{name}.bias")),
            relu,
        )
        for name, layer, relu in found
    ]


def pass_sizes(
    layers: Sequence[StackedLayer], n: int, n_replicas: int, chunk: int
) -> tuple[int, int]:
    """Choose samples and replicas of a pass; the choice never depends on the number of threads.

    Args:
        layers: The network.
        n: Samples in a training set.
        n_replicas: M.
        chunk: Samples in a pass, at most.

    Returns:
        Samples of each training set, and replicas: all on a GPU; on a CPU as many as stay in the
        caches.
    """
    first = layers[0].weight
    if first.is_cuda:
        return even(n, chunk), n_replicas
    widths = sum(layer.weight.shape[1] for layer in layers)
    per_sample = (first.shape[2] + 1 + widths) * first.element_size()
    samples = even(n, min(chunk, max(_FEWEST_SAMPLES, CPU_BYTES // per_sample)))
    return samples, even(n_replicas, CPU_BYTES // (per_sample * samples))
