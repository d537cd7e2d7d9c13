"""Ratios of sums over the M training sets, their errors, and other statistics of measures.

Both sides of eq. (19) are such ratios. Their sampling error over the draws of D is estimated with
the jackknife: leave one training set out, M times.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor


def ratio(numerators: Tensor, denominators: Tensor) -> float:
    """Σ_m a_m / Σ_m b_m; NaN for 0/0 and for a zero denominator.

    Args:
        numerators: [M].
        denominators: [M].
    """
    total = float(denominators.sum())
    return float(numerators.sum()) / total if total else math.nan


def leave_one_out(numerators: Tensor, denominators: Tensor) -> Tensor:
    """Return the M ratios without set m, [M]."""
    return (numerators.sum() - numerators) / (denominators.sum() - denominators)


def jackknife_variance(estimates: Tensor) -> float:
    """Variance of a statistic from its M leave-one-out values; NaN for M = 1.

    (M − 1)/M Σ_m (θ_(m) − mean)² (Efron & Tibshirani 1993, eq. 11.5).

    Args:
        estimates: [M] leave-one-out values.
    """
    m = len(estimates)
    if m < 2:
        return math.nan
    return float((estimates - estimates.mean()).square().sum()) * (m - 1) / m


def mean(values: Tensor, where: Tensor) -> float:
    """Mean of those values for which `where` is true; NaN if there are none."""
    there = values[where]
    return float(there.mean()) if there.numel() else math.nan


def finite_mean(values: Iterable[float]) -> float:
    """Mean of the finite ones; NaN of none."""
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan


def correlation(a: Tensor, b: Tensor) -> float:
    """Pearson's correlation of two vectors; NaN if one does not vary."""
    a, b = a - a.mean(), b - b.mean()
    scale = float(a.norm() * b.norm())
    return float(a @ b) / scale if scale else math.nan


def shares_in_bins(places: Tensor, bins: int, weights: Tensor | None = None) -> list[float]:
    """Return the distribution over bins: shares that add up to 1; all NaN without any weight.

    Args:
        places: [K] bins with fractions, 0 for the lower end of the first one; what lies beyond the
            first or the last bin counts for that bin.
        bins: How many there are.
        weights: [K]; None for equal ones.
    """
    own = places.floor().clamp(0, bins - 1).long()
    counts = torch.bincount(own, weights, minlength=bins).double()
    shares: list[float] = (counts / counts.sum()).tolist()
    return shares
