"""Both sides of eq. (19), measured by one step that is taken back."""

from __future__ import annotations

from dataclasses import dataclass

from gsnr_sweep.training.snapshot import Snapshot


@dataclass(frozen=True, repr=False)
class OneStepRatio:
    """One-step generalization ratio R(Z, n) by its definition and as gradients predict it.

    Attributes:
        lhs: Σ_m (L'_{t+1} − L'_t) / Σ_m (L_{t+1} − L_t), eq. (23).
        lhs_se: Its standard error over training sets and test samples.
        lhs_test_se: The test samples' part of that, which networks on one test set have in common.
        rhs: 1 − Σ_j ρ²_j / (n Σ_j E_D(g²_D,j)), eqs. (19) and (24).
        rhs_se: Its standard error over training sets.
        diff: LHS − RHS.
        diff_se: Its standard error; both sides come from the same sets.
        taylor_ratio: ΔL[D] / (λ‖g‖²): near 1 while the step is small enough for eq. (19).
        snapshot: What they are functions of, for measures of one's own.

    Standard errors are NaN for a single training set, but for `lhs_test_se`.
    """

    lhs: float
    lhs_se: float
    lhs_test_se: float
    rhs: float
    rhs_se: float
    diff: float
    diff_se: float
    taylor_ratio: float
    snapshot: Snapshot

    @property
    def n(self) -> int:
        """Samples in each training set."""
        return self.snapshot.n

    def __repr__(self) -> str:
        return (
            f"OneStepRatio(lhs={self.lhs:.4g} ± {self.lhs_se:.2g}, "
            f"rhs={self.rhs:.4g} ± {self.rhs_se:.2g}, "
            f"M={len(self.snapshot.train_loss)}, n={self.n}, lr={self.snapshot.lr:g})"
        )
