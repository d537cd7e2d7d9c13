"""How many samples go through the network at once, under a stated memory budget."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gsnr_sweep.gradients import Method
from gsnr_sweep.gradients.forward_hooks import listening

# A chunk should stay in a core's caches. Measured on Table 2's network (ch 6 to 20): 250 samples,
# about 16 MB of activations, are within 5 % of the best of 25 to 1000, and 1000 cost up to 1.7
# times as much. Small networks take more samples at once.
_CPU_CHUNK = 250
_CPU_CACHE_BYTES = 16 * 10**6
_LINEAR_BYTES = 64 * 10**6
_EXPLICIT_CHUNK = 64  # below, PyTorch's share in a pass shows


@dataclass(frozen=True)
class ChunkSizes:
    """Samples in one pass.

    Attributes:
        step: Forward and backward for the training gradient.
        moments: Forward and backward with per-sample gradients, one layer at a time where the
            method allows it.
        losses: Forward only; does not depend on n, since it serves the test set too.
        normalized: The same where batch normalization takes the statistics of a set that does not
            fit one pass: fewer, so that there is room for what is kept of the whole set.
        kept_bytes: Room for that.
    """

    step: int
    moments: int
    losses: int
    normalized: int = 0
    kept_bytes: int = 0


def chunk_sizes(
    activations: int,
    gradients: int,
    n: int,
    memory_limit: int,
    chunk_size: int | None,
    cuda: bool = False,
) -> ChunkSizes:
    """Choose chunk sizes for autograd that stay within the budget.

    The choice depends on nothing but the arguments, never on the machine's free memory or number of
    threads, so that results are the same everywhere.

    Args:
        activations: Bytes of one sample's activations with their gradients.
        gradients: Bytes of one sample's gradients by the parameters.
        n: Samples in a training set.
        memory_limit: Bytes that one pass may use.
        chunk_size: Overrides the choice.
        cuda: Whether this is for a GPU, which likes chunks as large as can be.
    """
    if chunk_size is not None:
        return ChunkSizes(min(chunk_size, n), min(chunk_size, n), chunk_size)
    most = max(_CPU_CHUNK, _CPU_CACHE_BYTES // activations)
    step = memory_limit // activations
    moments = memory_limit // (activations + gradients)
    if cuda:
        return ChunkSizes(even(n, step), even(n, moments), max(1, step))
    return ChunkSizes(
        even(n, min(step, most)), even(n, min(moments, most)), max(1, min(step, most))
    )


def explicit_chunks(
    activations: int, lanes: int | None, n: int, memory_limit: int, chunk_size: int | None
) -> ChunkSizes:
    """Choose chunk sizes for a network in its explicit form: whole blocks of samples in lanes.

    Args:
        activations: Bytes of one sample's activations with their gradients.
        lanes: Samples in a block; None for linear layers alone, whose sums over a chunk are as
            many numbers as there are weights and are therefore added up rarely.
        n: Samples in a training set.
        memory_limit: Bytes that one pass may use.
        chunk_size: Overrides the choice.
    """
    if chunk_size is not None:
        return ChunkSizes(min(chunk_size, n), min(chunk_size, n), chunk_size)
    cache = _CPU_CACHE_BYTES if lanes else _LINEAR_BYTES
    most = max(_EXPLICIT_CHUNK, cache // activations)
    most = max(1, min(most, memory_limit // activations))
    lanes = lanes or 1
    together = min(n, _whole_blocks(even(n, most), lanes, most))
    return ChunkSizes(together, together, _whole_blocks(most, lanes, most))


def _whole_blocks(samples: int, lanes: int, most: int) -> int:
    """Round up to whole blocks, or down where that would be too many."""
    rounded = math.ceil(samples / lanes) * lanes
    return rounded if rounded <= most else max(1, most // lanes * lanes or most)


def even(n: int, most: int) -> int:
    """Return the size of the fewest parts of n with at most `most` each, as equal as can be."""
    return math.ceil(n / math.ceil(n / max(1, min(most, n))))


def bytes_per_sample(model: nn.Module, example: Tensor, method: Method) -> tuple[int, int]:
    """Estimate the bytes of activations with their gradients, and of per-sample gradients.

    Of the latter the largest layer counts where layers are worked on one after the other: its
    patches, its gradients, their squares and signs.
    """
    activations = example[0].numel()
    largest = 0

    def count(layer: nn.Module, _: tuple[Any, ...], output: Any) -> None:
        nonlocal activations, largest
        if not isinstance(output, Tensor):
            return
        weights = sum(p.numel() for p in layer.parameters(recurse=False))
        if weights or not list(layer.children()):
            activations += 2 * output[0].numel()
        outer_product = isinstance(layer, nn.Linear) and output.dim() == 2
        largest = max(largest, _patches(layer, output) + (0 if outer_product else 4 * weights))

    with torch.no_grad(), listening(model.modules(), count):
        model(example)
    if method is not Method.LAYERWISE:
        largest = 4 * sum(p.numel() for p in model.parameters() if p.requires_grad)
    return activations * example.element_size(), largest * example.element_size()


def _patches(layer: nn.Module, output: Tensor) -> int:
    """Count the numbers of one sample's input patches of a convolution, twice."""
    if not isinstance(layer, nn.Conv2d):
        return 0
    positions = output[0].numel() // layer.out_channels
    return 2 * positions * layer.in_channels * math.prod(layer.kernel_size)
