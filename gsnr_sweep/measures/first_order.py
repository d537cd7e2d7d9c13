"""Whether the test loss, too, moves by its first order in a step (eq. 10)."""

from __future__ import annotations

import torch

from gsnr_sweep.gradients.parameters import Parameter
from gsnr_sweep.measures.ratio import ratio
from gsnr_sweep.measures.requires import requires
from gsnr_sweep.measures.undefined import Undefined
from gsnr_sweep.training.replica import Replica
from gsnr_sweep.training.snapshot import Snapshot

_PASSES = 6.0  # training set and test set, forward and backward
_NORMALIZED = "with batch normalization a step moves the statistics that the test set is given, too"


def look_at_test_gradient(
    replica: Replica, followed: tuple[Parameter, ...] = ()
) -> float | Undefined:
    """Return g_D · g_D′ at a replica's weights.

    Args:
        replica: At θ_t.
        followed: Not used.
    """
    del followed
    if replica.engine.is_normalized:
        return Undefined(_NORMALIZED)
    assert replica.test is not None
    pairs = zip(replica.gradient(), replica.gradient(replica.test), strict=True)
    return float(torch.stack([(own * test).sum() for own, test in pairs]).sum())


@requires(probe=look_at_test_gradient, probe_passes=_PASSES)
def first_order(snapshot: Snapshot) -> dict[str, float]:
    """Decrease of the test loss over its first order λ g_D·g_D′ (Liu et al. 2020, eq. 10).

    Returns:
        ``taylor_ratio_test`` = Σ_m ΔL_m[D′] / Σ_m λ g_m·g′_m, as ``taylor_ratio`` for the training
        loss, eq. (9): near 1 while a step is small. `Undefined` with batch normalization.
    """
    products = snapshot.probed[first_order.__name__]
    if isinstance(products[0], Undefined):
        return {"taylor_ratio_test": products[0]}
    decrease = snapshot.test_loss - snapshot.test_loss_next
    return {"taylor_ratio_test": ratio(decrease, snapshot.lr * decrease.new_tensor(products))}
