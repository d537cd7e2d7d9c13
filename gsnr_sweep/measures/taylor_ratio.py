"""Whether a step is small enough for the theory."""

from __future__ import annotations

from gsnr_sweep.measures.ratio import ratio
from gsnr_sweep.training.snapshot import Snapshot


def taylor_ratio(snapshot: Snapshot) -> dict[str, float]:
    """Decrease of the training loss over its first-order estimate λ‖g‖² (Liu et al. 2020, eq. 9).

    Returns:
        ``taylor_ratio`` = Σ_m ΔL[D] / Σ_m λ‖g_m‖², with the gradient that was stepped along. Near 1
        while eq. (19)'s condition of a small λ holds.
    """
    decrease = snapshot.train_loss - snapshot.train_loss_next
    return {"taylor_ratio": ratio(decrease, snapshot.lr * snapshot.step_sq_norm)}
