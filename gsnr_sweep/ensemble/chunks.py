"""How many samples go through the network at once, under a stated memory budget."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gsnr_sweep.ensemble.listen import listening
from gsnr_sweep.ensemble.moments import Method

# A chunk should stay in a core's caches. Measured on Table 2's network (ch 6 to 20): 250 samples,
# about 16 MB of activations, are within 5 % of the best of 25 to 1000, and 1000 cost up to 1.7
# times as much. Small networks take more samples at once.
_CPU_CHUNK = 250
_CPU_CACHE_BYTES = 16 * 10**6


@dataclass(frozen=True)
class ChunkSizes:
    """Samples in one pass.

    Attributes:
        step: Forward and backward for the training gradient.
        moments: Forward and backward with per-sample gradients, one layer at a time where the
            method allows it.
        losses: Forward only; does not depend on n, since it serves the test set too.
    """

    step: int
    moments: int
    losses: int


def chunk_sizes(
    model: nn.Module,
    example: Tensor,
    n: int,
    memory_limit: int,
    chunk_size: int | None,
    method: Method = Method.LAYERS,
) -> ChunkSizes:
    """Choose chunk sizes that stay within the budget.

    The choice depends on nothing but the arguments, never on the machine's free memory or number of
    threads, so that results are the same everywhere.

    Args:
        model: The network, on its device.
        example: [2, ...] two inputs.
        n: Samples in a training set.
        memory_limit: Bytes that one pass may use.
        chunk_size: Overrides the choice.
        method: Way to the per-sample gradients.
    """
    if chunk_size is not None:
        return ChunkSizes(min(chunk_size, n), min(chunk_size, n), chunk_size)
    activations, per_sample_gradients = _bytes_per_sample(model, example, method)
    most = max(_CPU_CHUNK, _CPU_CACHE_BYTES // activations)
    step = memory_limit // activations
    moments = memory_limit // (activations + per_sample_gradients)
    if example.is_cuda:
        return ChunkSizes(_even(n, step), _even(n, moments), max(1, step))
    return ChunkSizes(
        _even(n, min(step, most)), _even(n, min(moments, most)), max(1, min(step, most))
    )


def fits_whole(model: nn.Module, example: Tensor, n: int, memory_limit: int) -> bool:
    """Say whether one pass over all n samples stays within the budget."""
    return _bytes_per_sample(model, example, Method.LAYERS)[0] * n <= memory_limit


def _even(n: int, most: int) -> int:
    """Split n samples into the fewest chunks of at most `most`, as equal as can be."""
    most = max(1, min(most, n))
    return math.ceil(n / math.ceil(n / most))


def _bytes_per_sample(model: nn.Module, example: Tensor, method: Method) -> tuple[int, int]:
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
    if method is not Method.LAYERS:
        largest = 4 * sum(p.numel() for p in model.parameters() if p.requires_grad)
    return activations * example.element_size(), largest * example.element_size()


def _patches(layer: nn.Module, output: Tensor) -> int:
    """Count the numbers of one sample's input patches of a convolution, twice."""
    if not isinstance(layer, nn.Conv2d):
        return 0
    positions = output[0].numel() // layer.out_channels
    return 2 * positions * layer.in_channels * math.prod(layer.kernel_size)
