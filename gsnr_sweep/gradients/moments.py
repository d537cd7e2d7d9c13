"""Adding per-sample gradients up over a data set, chunk by chunk, in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor, nn

from gsnr_sweep.gradients.functional import network_gradients, single_gradients
from gsnr_sweep.gradients.layer_io import layerwise_gradients
from gsnr_sweep.gradients.per_sample import PerSampleGradients, SampleLosses

OnChunk = Callable[[Tensor, Tensor, Tensor], None]


class Method(Enum):
    """How per-sample gradients are computed, fastest first."""

    LAYERWISE = "closed forms layer by layer, from one backward pass"
    FUNCTORCH = "torch.func through the whole network"
    PER_SAMPLE = "one backward pass a sample"


COMPUTE = {
    Method.LAYERWISE: layerwise_gradients,
    Method.FUNCTORCH: network_gradients,
    Method.PER_SAMPLE: single_gradients,
}
"""Functions (model, x, y, sample_losses, receive) → outputs [N, ...] and losses [N]."""


@dataclass(frozen=True)
class Moments:
    """Sums over n samples of the per-sample gradients of P parameters.

    Attributes:
        count: n.
        sum: [P] Σ_i g_i, float64.
        sum_of_squares: [P] Σ_i g_i², float64.
        positive: [P] number of samples with g_i > 0; None if not asked for.
        negative: [P] number of samples with g_i < 0; None if not asked for.
    """

    count: int
    sum: Tensor
    sum_of_squares: Tensor
    positive: Tensor | None = None
    negative: Tensor | None = None


def gradient_moments(
    model: nn.Module,
    chunks: Iterable[tuple[Tensor, Tensor]],
    sample_losses: SampleLosses,
    method: Method = Method.LAYERWISE,
    on_chunk: OnChunk | None = None,
    signs: bool = True,
) -> Moments:
    """Compute the moments of a network's per-sample gradients over a data set.

    Parameters that are trained (``requires_grad``) come in the order of ``named_parameters``,
    flattened. Gradients are those of each sample's own loss: nothing is divided by n.

    Args:
        model: The network, in the state in which it is measured.
        chunks: Batches (x, y); results do not depend on their sizes beyond rounding.
        sample_losses: Losses [N] from outputs and targets.
        method: As `choose_method` found it for this network: `Method.LAYERWISE` is wrong for one
            that shares layers or folds other axes into the first.
        on_chunk: Called with outputs, targets and losses of each chunk, which cost nothing more.
        signs: Whether to count positive and negative gradients.

    Example:
        >>> model = nn.Linear(3, 1)
        >>> x, y = torch.randn(8, 3), torch.randn(8, 1)
        >>> squared_error = lambda outputs, y: (outputs - y).square().sum(1)
        >>> moments = gradient_moments(model, [(x, y)], squared_error)
        >>> moments.sum.shape
        torch.Size([4])
    """
    kinds = 4 if signs else 2
    sums = {
        name: [torch.zeros_like(p, dtype=torch.float64, requires_grad=False) for _ in range(kinds)]
        for name, p in model.named_parameters()
        if p.requires_grad
    }

    def receive(name: str, gradients: PerSampleGradients) -> None:
        add_moments(sums[name], gradients)

    count = 0
    for x, y in chunks:
        outputs, losses = COMPUTE[method](model, x, y, sample_losses, receive)
        count += len(x)
        if on_chunk is not None:
            on_chunk(outputs, y, losses)
    flat = [torch.cat([parts[k].flatten() for parts in sums.values()]) for k in range(kinds)]
    return Moments(count, *flat)


@torch.no_grad()
def add_moments(sums: Sequence[Tensor] | Tensor, gradients: PerSampleGradients) -> None:
    """Add to sums of gradients and, as far as there are such, of squares and of both signs."""
    parts = [gradients.sum()]
    if len(sums) > 1:
        parts.append(gradients.sum_of_squares())
    if len(sums) > len(parts):
        parts += gradients.sign_counts()
    for total, part in zip(sums, parts, strict=True):
        total += part.view_as(total)
