"""The two sums that eq. (19)'s right side is made of."""

from __future__ import annotations

from gsnr_sweep.training.snapshot import Snapshot


def grad_moments(snapshot: Snapshot) -> dict[str, float]:
    """Squared gradient norm and total gradient variance (Liu et al. 2020, eq. 24).

    Returns:
        ``grad_sq_norm`` = Σ_j E_D(g²_D,j) and ``grad_var_sum`` = Σ_j ρ²_j, averaged over replicas.
    """
    return {
        "grad_sq_norm": float(snapshot.gradient.square().sum(1).mean()),
        "grad_var_sum": float(snapshot.gradient_variance.sum(1).mean()),
    }
