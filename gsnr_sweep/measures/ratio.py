"""Ratios of sums over the M training sets, and their errors.

Both sides of eq. (19) are such ratios. Their sampling error over the draws of D is estimated with
the jackknife: leave one training set out, M times.
"""

from __future__ import annotations

import math

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
