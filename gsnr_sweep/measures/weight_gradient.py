"""How weights, their gradients and the change of their gradients hang together (Fig. 7)."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

from gsnr_sweep.measures.ratio import correlation, finite_mean
from gsnr_sweep.measures.requires import require, requires
from gsnr_sweep.measures.weight_groups import weight_groups
from gsnr_sweep.training.snapshot import Snapshot


@requires(weights=True, gradient_change=True)
def weight_gradient(snapshot: Snapshot) -> dict[str, float]:
    """Correlation of Δg with W, and share of weights with W·g < 0 (Liu et al. 2020, 3.3, Fig. 7).

    Δg = g_{t+1} − g_t is the change of the training set's average gradient by the measured step,
    W the weights before it. Matrices and kernels count, biases and gains do not; of the signs,
    those weights whose product W·g is not zero. The 10 % of largest |W| are those of each layer, so
    that a layer with small weights has its share of them. Each value is taken replica by replica,
    then averaged.

    Returns:
        ``corr_dg_w`` and ``opposite_sign``, each also for the 10 % largest (``_top10``) and for
        each layer (``/LAYER``); NaN where nothing varies.
    """
    weights = require(snapshot.weights)
    gradient, after = require(snapshot.step_gradient), require(snapshot.next_gradient)
    change = after - gradient
    values: dict[str, float] = {}
    for group, columns in weight_groups(snapshot.parameters, weights).items():
        w, g, dg = (t.gather(1, columns) for t in (weights, gradient, change))
        values[f"corr_dg_w{group}"] = _averaged(correlation, dg, w)
        values[f"opposite_sign{group}"] = _averaged(_opposite, g, w)
    return values


def _averaged(of_replica: Callable[[Tensor, Tensor], float], a: Tensor, b: Tensor) -> float:
    return finite_mean(of_replica(*rows) for rows in zip(a, b, strict=True))


def _opposite(g: Tensor, w: Tensor) -> float:
    product = g.sign() * w.sign()
    signed = int(product.abs().sum())
    return float((product < 0).sum()) / signed if signed else math.nan
