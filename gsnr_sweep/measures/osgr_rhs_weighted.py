"""Right side of eq. (19) in the weighted form of eq. (22), a check of the arithmetic."""

from __future__ import annotations

import math

from gsnr_sweep.training.snapshot import Snapshot


def osgr_rhs_weighted(snapshot: Snapshot) -> dict[str, float]:
    """OSGR as a weighted mean over parameters (Liu et al. 2020, eqs. 21 and 22).

    R = 1 − (1/n) Σ_j W_j / (r_j + 1/n), with W_j = E(g²_D,j) / Σ_j' E(g²_D,j') the share of
    parameter j in the training loss's decrease and r_j + 1/n = E(g²_D,j) / ρ²_j. Where E(g²_D,j) is
    zero the quotient W_j / (r_j + 1/n) is taken as its limit ρ²_j / Σ_j' E(g²_D,j').

    Returns:
        ``osgr_rhs_weighted``, equal to ``osgr_rhs`` up to rounding.
    """
    power = snapshot.gradient.square().mean(0)
    variance = snapshot.gradient_variance.mean(0)
    total = power.sum()
    if not bool(total > 0):
        return {"osgr_rhs_weighted": math.nan}
    both = (power > 0) & (variance > 0)
    gsnr_plus = power[both] / variance[both]
    terms = float((power[both] / total / gsnr_plus).sum() + variance[~both].sum() / total)
    return {"osgr_rhs_weighted": 1 - terms / snapshot.n}
