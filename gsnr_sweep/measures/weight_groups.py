"""Which weights are looked at together: all, those of a layer, and the largest of each (Fig. 7)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from gsnr_sweep.gradients.parameters import Parameter
from gsnr_sweep.measures.ratio import finite_mean, mean

TOP_SHARE = 0.1
"""Share of a layer's weights that count as those of large absolute value (Liu et al. 2020, 3.3)."""


def weight_groups(parameters: Sequence[Parameter], weights: Tensor) -> dict[str, Tensor]:
    """Return the columns of each group's weights, [M, K], by what its metrics' names end with.

    Matrices and kernels count, biases and gains do not. The 10 % of largest |W| (``_top10``) are
    those of each matrix, so that a layer with small weights has its share of them.

    Args:
        parameters: Places of the parameters in a row.
        weights: [M, P] W, by which the largest are chosen.

    Returns:
        All weights under the empty name, each layer's under ``/LAYER``, and the largest of either
        under ``_top10`` and ``_top10/LAYER``.
    """
    matrices = [p for p in parameters if p.is_weight]
    groups = {"": matrices}
    for p in matrices:
        groups.setdefault(f"/{p.layer}", []).append(p)
    found = {}
    for name, some in groups.items():
        found[name] = _columns(some).expand(len(weights), -1)
        found[f"_top10{name}"] = _largest(weights, some)
    return found


def mean_in_group(values: Tensor, where: Tensor, columns: Tensor) -> float:
    """Return the mean over those weights of a group for which `where` is true.

    Replica by replica, then averaged; NaN where there is no such weight.

    Args:
        values: [M, P].
        where: [M, P] bool.
        columns: [M, K] of `weight_groups`.
    """
    rows = zip(values.double().gather(1, columns), where.gather(1, columns), strict=True)
    return finite_mean(mean(*row) for row in rows)


def _columns(parameters: list[Parameter]) -> Tensor:
    return torch.cat([torch.arange(p.start, p.stop) for p in parameters] or [torch.arange(0)])


def _largest(weights: Tensor, parameters: list[Parameter]) -> Tensor:
    """Return the columns of the largest |W| of each parameter, [M, K]."""
    found = [torch.empty(len(weights), 0, dtype=torch.long)]
    for p in parameters:
        count = max(1, math.floor(TOP_SHARE * (p.stop - p.start)))
        found.append(weights[:, p.start : p.stop].abs().topk(count, dim=1).indices + p.start)
    return torch.cat(found, dim=1)
