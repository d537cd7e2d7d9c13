"""Adding per-sample gradients up over a data set, chunk by chunk, in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from gsnr_sweep.ensemble.moments.generic import network_gradients
from gsnr_sweep.ensemble.moments.gradients import PerSampleGradients
from gsnr_sweep.ensemble.moments.method import Method
from gsnr_sweep.ensemble.moments.tap import LayerTap

SampleLosses = Callable[[Tensor, Tensor], Tensor]
OnChunk = Callable[[Tensor, Tensor, Tensor], None]


@dataclass(frozen=True)
class Moments:
    """Sums over n samples of the per-sample gradients of P parameters.

    Attributes:
        count: n.
        sum: [P] Σ_i g_i, float64.
        sum_of_squares: [P] Σ_i g_i², float64.
        positive: [P] number of samples with g_i > 0.
        negative: [P] number of samples with g_i < 0.
    """

    count: int
    sum: Tensor
    sum_of_squares: Tensor
    positive: Tensor
    negative: Tensor


def gradient_moments(
    model: nn.Module,
    chunks: Iterable[tuple[Tensor, Tensor]],
    sample_losses: SampleLosses,
    method: Method = Method.LAYERS,
    on_chunk: OnChunk | None = None,
) -> Moments:
    """Compute the moments of a network's per-sample gradients over a data set.

    Parameters that are trained (``requires_grad``) come in the order of ``named_parameters``,
    flattened. Gradients are those of each sample's own loss: nothing is divided by n.

    Args:
        model: The network, in the state in which it is measured.
        chunks: Batches (x, y); results do not depend on their sizes beyond rounding.
        sample_losses: Losses [N] from outputs and targets.
        method: As `choose_method` found it.
        on_chunk: Called with outputs, targets and losses of each chunk, which cost nothing more.

    Example:
        >>> model = nn.Linear(3, 1)
        >>> x, y = torch.randn(8, 3), torch.randn(8, 1)
        >>> squared_error = lambda outputs, y: (outputs - y).square().sum(1)
        >>> moments = gradient_moments(model, [(x, y)], squared_error)
        >>> moments.sum.shape
        torch.Size([4])
    """
    if method is Method.NETWORK:
        whole = partial(network_gradients, model, sample_losses=sample_losses)
        return _accumulate(model, chunks, whole, on_chunk)
    with LayerTap(model) as tap:
        by_layers = partial(tap.gradients, sample_losses=sample_losses)
        return _accumulate(model, chunks, by_layers, on_chunk)


def _accumulate(
    model: nn.Module,
    chunks: Iterable[tuple[Tensor, Tensor]],
    compute: Callable[[Tensor, Tensor], tuple[Tensor, Tensor, dict[str, PerSampleGradients]]],
    on_chunk: OnChunk | None,
) -> Moments:
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    sums = {
        name: [torch.zeros_like(p, dtype=torch.float64, requires_grad=False) for _ in range(4)]
        for name, p in trained.items()
    }
    count = 0
    for x, y in chunks:
        outputs, losses, gradients = compute(x, y)
        count += len(x)
        for name, found in gradients.items():
            _add(sums[name], found)
        if on_chunk is not None:
            on_chunk(outputs, y, losses)
    flat = [torch.cat([parts[k].flatten() for parts in sums.values()]) for k in range(4)]
    return Moments(count, *flat)


@torch.no_grad()
def _add(sums: list[Tensor], gradients: PerSampleGradients) -> None:
    positive, negative = gradients.sign_counts()
    parts = (gradients.sum(), gradients.sum_of_squares(), positive, negative)
    for total, part in zip(sums, parts, strict=True):
        total += part.view_as(total)
