"""How many samples agree on the direction of a parameter."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gsnr_sweep.measures.requires import require, requires

if TYPE_CHECKING:
    from gsnr_sweep.training.snapshot import Snapshot

BINS = 25
"""Bins of the distribution, evenly spaced from 0.5 to 1."""


_ON_EDGE = 1e-9  # so that a share such as 3/5 falls into the bin that begins with it


@requires(signs=True)
def p_same_sign(snapshot: Snapshot) -> dict[str, float | list[float]]:
    """Share of samples whose gradient has the more frequent sign (Liu et al. 2020, 3.1, Fig. 5c).

    max(positive, negative) / (positive + negative) of each parameter: samples with no gradient
    (dead ReLUs) have no sign and do not count.

    The paper does not say whether these samples count; with them in the denominator the share of a
    parameter that most samples leave alone is below one half.

    Returns:
        ``p_same_sign``, averaged over the parameters of all replicas with any gradient,
        ``p_same_sign_of_all``, the same with all n samples in the denominator, the first one also
        for each layer (``/LAYER``), and ``p_same_sign_density``, the distribution over the
        parameters: shares in `BINS` bins from 0.5 to 1. For parameters that are followed one by
        one, ``p_same_sign/NAME``, averaged over the replicas.
    """
    positive, negative = require(snapshot.positive), require(snapshot.negative)
    signed = positive + negative
    majority = positive.maximum(negative)
    shares = majority.double() / signed  # NaN for 0/0
    of_all = (majority.double() / snapshot.n).masked_fill(signed == 0, math.nan)
    values: dict[str, float | list[float]] = {
        "p_same_sign": _mean(shares),
        "p_same_sign_of_all": _mean(of_all),
        "p_same_sign_density": _density(shares),
    }
    for layer in snapshot.layers:
        name = layer.name or "model"
        values[f"p_same_sign/{name}"] = _mean(shares[:, layer.start : layer.stop])
    for p in snapshot.followed:
        values[f"p_same_sign/{p.name}"] = shares[:, p.start : p.stop].nanmean(0).tolist()
    return values


def _mean(shares: Tensor) -> float:
    there = shares[~shares.isnan()]
    return float(there.mean()) if there.numel() else math.nan


def _density(shares: Tensor) -> list[float]:
    there = shares[~shares.isnan()]
    bins = ((there - 0.5) * (2 * BINS) + _ON_EDGE).floor().clamp(0, BINS - 1).long()
    counts = torch.bincount(bins, minlength=BINS).double()
    found: list[float] = (counts / counts.sum()).tolist()
    return found
