"""How many samples go through the network at once, under a stated memory budget."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

# Beyond a few hundred samples a chunk falls out of a core's caches: measured on Table 2's network
# (ch 6 to 20), 250 is within 5 % of the best of 25 to 1000, and 1000 costs up to 1.7 times as much.
_CPU_CHUNK = 250


@dataclass(frozen=True)
class ChunkSizes:
    """Samples in one pass.

    Attributes:
        step: Forward and backward for the training gradient.
        moments: Forward and backward with per-sample gradients of one layer at a time.
    """

    step: int
    moments: int


def chunk_sizes(
    model: nn.Module, example: Tensor, n: int, memory_limit: int, chunk_size: int | None
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
    """
    if chunk_size is not None:
        return ChunkSizes(min(chunk_size, n), min(chunk_size, n))
    activations, per_sample_gradients = _bytes_per_sample(model, example)
    most = n if example.is_cuda else _CPU_CHUNK
    step = memory_limit // activations
    moments = memory_limit // (activations + per_sample_gradients)
    return ChunkSizes(_even(n, min(step, most)), _even(n, min(moments, most)))


def fits_whole(model: nn.Module, example: Tensor, n: int, memory_limit: int) -> bool:
    """Say whether one pass over all n samples stays within the budget."""
    return _bytes_per_sample(model, example)[0] * n <= memory_limit


def _even(n: int, most: int) -> int:
    """Split n samples into the fewest chunks of at most `most`, as equal as can be."""
    most = max(1, min(most, n))
    return math.ceil(n / math.ceil(n / most))


def _bytes_per_sample(model: nn.Module, example: Tensor) -> tuple[int, int]:
    """Estimate the bytes of activations with their gradients, and of the largest moments rule."""
    activations = example[0].numel()
    largest = 0

    def listen(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        nonlocal activations, largest
        if isinstance(output, Tensor) and not list(layer.children()):
            activations += 2 * output[0].numel()
            weights = sum(p.numel() for p in layer.parameters(recurse=False))
            patches = 0
            if isinstance(layer, nn.Conv2d) and inputs:
                positions = output[0].numel() // layer.out_channels
                patches = positions * layer.in_channels * math.prod(layer.kernel_size)
            dense = 0 if isinstance(layer, nn.Linear) and output.dim() == 2 else 3 * weights
            largest = max(largest, 2 * patches + dense)

    hooks = [module.register_forward_hook(listen) for module in model.modules()]
    try:
        with torch.no_grad():
            model(example)
    finally:
        for hook in hooks:
            hook.remove()
    return activations * example.element_size(), largest * example.element_size()
