"""Both sides of eq. (19) for the training rule's own steps instead of gradient descent's.

No paper has these. Where a rule moves the weights by u_j = p_j g_j, the derivation of eqs. (9) to
(19) of Liu et al. 2020 goes through with p_j in the place of the learning rate λ; see
``docs/measuring.md``.
"""

from __future__ import annotations

from gsnr_sweep.measures.osgr_lhs import named_loss_ratio
from gsnr_sweep.measures.osgr_rhs import gradient_ratio
from gsnr_sweep.measures.requires import requires
from gsnr_sweep.training.snapshot import Snapshot

_NAMES = {
    "steps": "osgr_own_lhs",
    "epoch": "osgr_own_lhs_epoch",
    "full_batch": "osgr_own_lhs_full_batch",
}


@requires(own_steps=True)
def osgr_own_lhs(snapshot: Snapshot) -> dict[str, float]:
    """Ratio of test to training loss decrease over the training rule's own next steps.

    R = Σ_m (L'_{t+K} − L'_t) / Σ_m (L_{t+K} − L_t), as eq. (23) of Liu et al. 2020 for one step of
    gradient descent. Numerator and denominator are summed over the K steps apart.

    Returns:
        ``osgr_own_lhs`` over K = ``measures.own_steps`` steps, ``osgr_own_lhs_epoch`` over a pass
        over the training set, and ``osgr_own_lhs_full_batch`` over one step u_j = p_j g_j along the
        training loss's gradient with the rule's present preconditioner p, where that is known. Each
        has its standard errors ``…_se`` and ``…_test_se``, as ``osgr_lhs``. With gradient descent
        all are ``osgr_lhs``.
    """
    values: dict[str, float] = {}
    for kind, after in snapshot.own.items():
        values |= named_loss_ratio(_NAMES[kind], snapshot, after)
    return values


@requires(own_steps=True)
def osgr_own_rhs(snapshot: Snapshot) -> dict[str, float]:
    """OSGR from per-sample gradients for a rule whose step is u_j = p_j g_j.

    R = 1 − Σ_j p_j ρ²_j / (n Σ_j p_j E_D(g²_D,j)), numerator and denominator averaged over the M
    replicas. For p_j = λ this is eq. (19) of Liu et al. 2020.

    Returns:
        ``osgr_own_rhs`` and its standard error ``osgr_own_rhs_se``, the jackknife over the M sets;
        nothing where p is not known, as before the first step of Adam.
    """
    if snapshot.preconditioner is None:
        return {}
    value, error = gradient_ratio(snapshot, snapshot.preconditioner)
    return {"osgr_own_rhs": value, "osgr_own_rhs_se": error}
