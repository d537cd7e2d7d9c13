"""Right side of eq. (19): the one-step generalization ratio as a function of gradient variance."""

from __future__ import annotations

import math

from torch import Tensor

from gsnr_sweep.measures.ratio import jackknife_variance, leave_one_out, ratio
from gsnr_sweep.training.snapshot import Snapshot


def osgr_rhs(snapshot: Snapshot) -> dict[str, float]:
    """OSGR from per-sample gradients (Liu et al. 2020, eqs. 19 and 24).

    R = 1 − Σ_j ρ²_j / (n Σ_j E_D(g²_D,j)), both expectations averaged over the M replicas.

    Returns:
        ``osgr_rhs`` and its standard error ``osgr_rhs_se``, the jackknife over the M sets.
    """
    noise, power = noise_and_power(snapshot)
    return {
        "osgr_rhs": 1 - ratio(noise, power),
        "osgr_rhs_se": math.sqrt(jackknife_variance(leave_one_out(noise, power))),
    }


def noise_and_power(snapshot: Snapshot) -> tuple[Tensor, Tensor]:
    """Return Σ_j ρ²_m,j / n and Σ_j g²_m,j of each replica, [M] each."""
    noise = snapshot.gradient_variance.sum(1) / snapshot.n
    return noise, snapshot.gradient.square().sum(1)
