"""Right side of eq. (19): the one-step generalization ratio as a function of gradient variance."""

from __future__ import annotations

import math

from torch import Tensor

from gsnr_sweep.measures.ratio import leave_one_out, ratio, variance_over_sets
from gsnr_sweep.training.snapshot import Snapshot


def osgr_rhs(snapshot: Snapshot) -> dict[str, float]:
    """OSGR from per-sample gradients (Liu et al. 2020, eqs. 19 and 24).

    R = 1 − Σ_j ρ²_j / (n Σ_j E_D(g²_D,j)), both expectations averaged over the M replicas.

    Returns:
        ``osgr_rhs`` and its standard error ``osgr_rhs_se``, the jackknife over the M sets.
    """
    value, error = gradient_ratio(snapshot)
    return {"osgr_rhs": value, "osgr_rhs_se": error}


def gradient_ratio(snapshot: Snapshot, rates: Tensor | float = 1.0) -> tuple[float, float]:
    """Return 1 − Σ_j p_j ρ²_j / (n Σ_j p_j E_D(g²_D,j)) and its standard error.

    Args:
        snapshot: Of the step.
        rates: p of a step u_j = p_j g_j, [M, P] or [M, 1]; if it is the same for all it cancels.
    """
    noise, power = noise_and_power(snapshot, rates)
    variance = variance_over_sets(leave_one_out(noise, power), snapshot.n, snapshot.pool)
    return 1 - ratio(noise, power), math.sqrt(variance)


def noise_and_power(snapshot: Snapshot, rates: Tensor | float = 1.0) -> tuple[Tensor, Tensor]:
    """Return Σ_j p_m,j ρ²_m,j / n and Σ_j p_m,j g²_m,j of each replica, [M] each."""
    noise = (rates * snapshot.gradient_variance).sum(1) / snapshot.n
    return noise, (rates * snapshot.gradient.square()).sum(1)
