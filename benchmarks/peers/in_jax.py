"""The same work in JAX: everything in one compiled function, replicas mapped over."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from torch import nn

from benchmarks.peers.networks import BasicBlock, fix_statistics, plain_network
from benchmarks.workloads import LR

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.workloads import Workload

jax.config.update("jax_enable_x64", True)  # else it takes float32 for float64

Parameters = list[jax.Array]
Layer = Callable[[Parameters, jax.Array], jax.Array]
_AXES = ("NHWC", "OIHW", "NHWC")  # channels last is what its convolutions are fast in


def network(
    model: nn.Sequential,
) -> tuple[Callable[[Parameters, jax.Array], jax.Array], Parameters]:
    """Translate a network, layer by layer.

    Args:
        model: In training mode, with the statistics of the batch, or in evaluation mode.

    Returns:
        What computes the outputs from parameters and inputs, images [N, H, W, C]; the parameters
        as they are, in PyTorch's order and shapes.
    """
    return _chain(list(model)), [jnp.asarray(p.detach().numpy()) for p in model.parameters()]


def _chain(modules: Sequence[nn.Module]) -> Layer:
    """Apply layers one after the other, each to its share of the parameters."""
    counts = [len(list(module.parameters())) for module in modules]
    layers = [_layer(module) for module in modules]

    def apply(parameters: Parameters, x: jax.Array) -> jax.Array:
        first = 0
        for layer, count in zip(layers, counts, strict=True):
            x = layer(parameters[first : first + count], x)
            first += count
        return x

    return apply


def _block(block: BasicBlock) -> Layer:
    main = [block.conv1, block.bn1, block.relu1, block.conv2, block.bn2]
    count = sum(len(list(module.parameters())) for module in main)
    straight, aside = _chain(main), _layer(block.shortcut)
    return lambda p, x: jnp.maximum(straight(p[:count], x) + aside(p[count:], x), 0)


def _layer(layer: nn.Module) -> Layer:
    return _LAYERS[type(layer)](layer)


def _convolution(layer: nn.Conv2d) -> Layer:
    assert isinstance(layer.padding, tuple)
    padding, stride = [(side, side) for side in layer.padding], layer.stride

    def convolve(p: Parameters, x: jax.Array) -> jax.Array:
        found: jax.Array = lax.conv_general_dilated(
            x, p[0], stride, padding, dimension_numbers=_AXES
        )
        return found if layer.bias is None else found + p[1]

    return convolve


def _normalization(layer: nn.BatchNorm2d) -> Layer:
    fixed = None
    if not layer.training:
        assert layer.running_mean is not None
        assert layer.running_var is not None
        fixed = layer.running_mean.numpy(), layer.running_var.numpy()

    def normalize(p: Parameters, x: jax.Array) -> jax.Array:
        axes = (0, 1, 2)
        mean, var = fixed or (x.mean(axes), x.var(axes))
        return (x - mean) * lax.rsqrt(var + layer.eps) * p[0] + p[1]

    return normalize


def _max_pool(_: nn.Module) -> Layer:
    window = (1, 2, 2, 1)
    return lambda _, x: lax.reduce_window(x, -jnp.inf, lax.max, window, window, "VALID")


def _flatten(_: nn.Module) -> Layer:
    """As PyTorch does, channel by channel."""
    return lambda _, x: (jnp.moveaxis(x, -1, 1) if x.ndim == 4 else x).reshape(len(x), -1)


_LAYERS: dict[type[nn.Module], Callable[[Any], Layer]] = {
    nn.Sequential: lambda layers: _chain(list(layers)),
    BasicBlock: _block,
    nn.Conv2d: _convolution,
    nn.BatchNorm2d: _normalization,
    nn.Linear: lambda _: lambda p, x: x @ p[0].T + p[1],
    nn.ReLU: lambda _: lambda _, x: jnp.maximum(x, 0),
    nn.Identity: lambda _: lambda _, x: x,
    nn.MaxPool2d: _max_pool,
    nn.AdaptiveAvgPool2d: lambda _: lambda _, x: x.mean((1, 2), keepdims=True),
    nn.Flatten: _flatten,
}


def _loss(task: str) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """Return the loss summed over a batch."""
    if task == "regression":
        return lambda outputs, y: jnp.square(outputs - y.reshape(outputs.shape)).sum()

    def cross_entropy(outputs: jax.Array, y: jax.Array) -> jax.Array:
        return -jnp.take_along_axis(jax.nn.log_softmax(outputs), y[:, None], 1).sum()

    return cross_entropy


def _data(workload: Workload, dtype: str) -> tuple[jax.Array, jax.Array]:
    """Return the inputs of all sets, [M, n, ...], images with channels last, and the targets."""
    sets = workload.tensors(dtype)
    x = np.stack([x.numpy() for x, _ in sets])
    x = np.moveaxis(x, 2, -1) if x.ndim == 5 else x
    return jnp.asarray(x), jnp.asarray(np.stack([y.numpy() for _, y in sets]))


def _in_chunks(x: jax.Array, chunk: int) -> jax.Array:
    return x.reshape(len(x) // chunk, chunk, *x.shape[1:])


def _flat(parts: Sequence[jax.Array]) -> NDArray[np.float64]:
    return np.concatenate([np.asarray(part, dtype=np.float64).ravel() for part in parts])


class Replicas:
    """``jit``: replicas by ``vmap`` or one after the other by ``lax.map``, chunks by ``scan``."""

    def __init__(
        self, workload: Workload, epochs: int, chunks: Sequence[int], dtype: str = "float32"
    ) -> None:
        """Copy the parameters M times."""
        self.workload, self.epochs = workload, epochs
        self.x, self.y = _data(workload, dtype)
        model = plain_network(workload, dtype)
        assert isinstance(model, nn.Sequential)
        self.apply, parameters = network(model)
        self.parameters = [jnp.stack([p] * workload.n_sets) for p in parameters]
        n = workload.n
        self.chunks = [n] if workload.normalizes else [c for c in (*chunks, n) if n % c == 0]
        self.gradients = self._compiled("map", n)

    def _gradient_of(self, chunk: int) -> Callable[..., Parameters]:
        loss, n, apply = _loss(self.workload.task), self.workload.n, self.apply

        def share(parameters: Parameters, x: jax.Array, y: jax.Array) -> jax.Array:
            return loss(apply(parameters, x), y) / n

        def gradient(parameters: Parameters, x: jax.Array, y: jax.Array) -> Parameters:
            if chunk >= n:
                return jax.grad(share)(parameters, x, y)

            def add(
                total: Parameters, part: tuple[jax.Array, jax.Array]
            ) -> tuple[Parameters, None]:
                found = jax.grad(share)(parameters, *part)
                return [a + b for a, b in zip(total, found, strict=True)], None

            nothing = [jnp.zeros_like(p) for p in parameters]
            total, _ = lax.scan(add, nothing, (_in_chunks(x, chunk), _in_chunks(y, chunk)))
            return total

        return gradient

    def _compiled(self, way: str, chunk: int) -> Callable[..., Parameters]:
        gradient = self._gradient_of(chunk)
        if way == "vmap":
            return jax.jit(jax.vmap(gradient))
        return jax.jit(lambda *all_of: lax.map(lambda one: gradient(*one), all_of))

    def tune(self) -> str:
        """Compile every way, then choose; only the time of compiling is not compared."""
        times: dict[tuple[str, int], float] = {}
        compiling, ways = 0.0, {}
        for way in ("vmap", "map"):
            for chunk in self.chunks:
                self.gradients = ways[way, chunk] = self._compiled(way, chunk)
                compiling += self._seconds()
                times[way, chunk] = min(self._seconds() for _ in range(2))
        best = min(times, key=times.__getitem__)
        self.gradients = ways[best]
        size = "whole set" if best[1] >= self.workload.n else f"chunks of {best[1]}"
        return f"{size}; {'vmap' if best[0] == 'vmap' else 'lax.map'}; {compiling:.0f} s to compile"

    def _seconds(self) -> float:
        start = time.perf_counter()
        jax.block_until_ready(self.gradients(self.parameters, self.x, self.y))
        return time.perf_counter() - start

    def numbers(self) -> NDArray[np.float64]:
        """Return the gradients of the first and the last replica, [2, P]."""
        found = self.gradients(self.parameters, self.x, self.y)
        return np.stack([_flat([part[m] for part in found]) for m in (0, -1)])

    def work(self) -> None:
        """Train for the epochs."""
        for _ in range(self.epochs):
            found = self.gradients(self.parameters, self.x, self.y)
            pairs = zip(self.parameters, found, strict=True)
            self.parameters = [p - LR * g for p, g in pairs]
        jax.block_until_ready(self.parameters)


class PerSampleGradients:
    """``jit(vmap(grad))`` over the samples of a chunk, Σ g and Σ g² of it, chunks by ``scan``."""

    def __init__(self, workload: Workload, chunks: Sequence[int], dtype: str = "float32") -> None:
        """Build the network with the statistics of the first set."""
        self.workload = workload
        first, _ = workload.tensors(dtype)[0]
        model = fix_statistics(plain_network(workload, dtype), first)
        assert isinstance(model, nn.Sequential)
        self.apply, self.parameters = network(model)
        self.x, self.y = _data(workload, dtype)
        self.chunks = [c for c in chunks if workload.n % c == 0] or [workload.n]
        self.chunk = self.chunks[0]
        self.sums = self._compiled(self.chunk)

    def get_setting(self) -> int:
        """Return the chunk size that was chosen."""
        return self.chunk

    def set_setting(self, chunk: int) -> None:
        """Work with a chunk size that was chosen elsewhere."""
        self.chunk, self.sums = chunk, self._compiled(chunk)
        self._seconds()  # compiles

    def _compiled(self, chunk: int) -> Callable[..., list[Parameters]]:
        loss, apply = _loss(self.workload.task), self.apply

        def of_sample(parameters: Parameters, x: jax.Array, y: jax.Array) -> jax.Array:
            return loss(apply(parameters, x[None]), y[None])

        each = jax.vmap(jax.grad(of_sample), in_axes=(None, 0, 0))

        def sums(parameters: Parameters, x: jax.Array, y: jax.Array) -> list[Parameters]:
            def add(
                total: list[Parameters], part: tuple[jax.Array, jax.Array]
            ) -> tuple[list[Parameters], None]:
                found = each(parameters, *part)
                powers = [g.sum(0) for g in found], [jnp.square(g).sum(0) for g in found]
                return [
                    [a + b for a, b in zip(*pair, strict=True)]
                    for pair in zip(total, powers, strict=True)
                ], None

            nothing = [[jnp.zeros_like(p) for p in parameters] for _ in range(2)]
            total, _ = lax.scan(add, nothing, (_in_chunks(x, chunk), _in_chunks(y, chunk)))
            return total

        return jax.jit(sums)

    def tune(self) -> str:
        """Compile for each chunk size, then choose; the time of compiling is not compared."""
        times, ways, compiling = {}, {}, 0.0
        for chunk in self.chunks:
            self.sums = ways[chunk] = self._compiled(chunk)
            compiling += self._seconds()
            times[chunk] = min(self._seconds() for _ in range(2))
        self.chunk = min(times, key=times.__getitem__)
        self.sums = ways[self.chunk]
        return f"chunks of {self.chunk}; {compiling:.0f} s to compile"

    def _seconds(self) -> float:
        start = time.perf_counter()
        jax.block_until_ready(self.sums(self.parameters, self.x[0], self.y[0]))
        return time.perf_counter() - start

    def numbers(self) -> NDArray[np.float64]:
        """Return Σ g and Σ g² of the first set, [2, P]."""
        found = self.sums(self.parameters, self.x[0], self.y[0])
        return np.stack([_flat(part) for part in found])

    def work(self) -> None:
        """Make one pass over each set."""
        for x, y in zip(self.x, self.y, strict=True):
            jax.block_until_ready(self.sums(self.parameters, x, y))
