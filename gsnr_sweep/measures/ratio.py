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


def variance_over_sets(estimates: Tensor, n: int, pool: int | None) -> float:
    """Variance of a statistic over the draws of its M training sets, the pool's draw included.

    Two sets of n out of a pool of N samples share n²/N of them, so that means over them have the
    covariance σ²/N. The jackknife sees the σ²/n − σ²/N by which sets differ; the variance of a mean
    of M of them is σ²/(nM) + (1 − 1/M) σ²/N, which is 1 + M n/(N − n) times as much (from the
    variance of a mean without replacement, Cochran 1977, eq. 2.8). Where a statistic is no mean, or
    labels are drawn anew for each set, sets have less in common, and this is too much.

    Args:
        estimates: [M] leave-one-out values.
        n: Samples in a set.
        pool: N; None where every set is a fresh draw.

    Returns:
        The variance; NaN for M = 1, and where all sets are the whole pool.
    """
    variance = jackknife_variance(estimates)
    if pool is None:
        return variance
    return variance * (1 + len(estimates) * n / (pool - n)) if pool > n else math.nan


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
