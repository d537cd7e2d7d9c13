"""Whether the test loss, too, moves by its first order in a step (eq. 10)."""

from __future__ import annotations

import torch
from torch import Tensor

from gsnr_sweep.gradients.parameters import Parameter
from gsnr_sweep.measures.ratio import ratio
from gsnr_sweep.measures.requires import requires
from gsnr_sweep.measures.undefined import Undefined
from gsnr_sweep.training.measuring import flat
from gsnr_sweep.training.replica import Replica
from gsnr_sweep.training.snapshot import Snapshot

_PASSES = 3.0  # forward and backward
_NORMALIZED = "with batch normalization a step moves the statistics that the test set is given, too"


def look_at_test_gradient(
    replica: Replica, followed: tuple[Parameter, ...] = ()
) -> Tensor | Undefined:
    """Return g_D′ [P] at a replica's weights.

    Args:
        replica: At θ_t.
        followed: Not used.
    """
    del followed
    if replica.engine.is_normalized:
        return Undefined(_NORMALIZED)
    assert replica.test is not None
    return flat(replica.gradient(replica.test))


@requires(probe=look_at_test_gradient, probe_passes=0.0, probe_test_passes=_PASSES)
def first_order(snapshot: Snapshot) -> dict[str, float]:
    """Decrease of the test loss over its first order λ g_D·g_D′ (Liu et al. 2020, eq. 10).

    Returns:
        ``taylor_ratio_test`` = Σ_m ΔL_m[D′] / Σ_m λ g_m·g′_m, as ``taylor_ratio`` for the training
        loss, eq. (9): near 1 while a step is small. `Undefined` with batch normalization.
    """
    found = snapshot.probed[first_order.__name__]
    if isinstance(found[0], Undefined):
        return {"taylor_ratio_test": found[0]}
    products = (snapshot.gradient * torch.stack(found)).sum(1)
    decrease = snapshot.test_loss - snapshot.test_loss_next
    return {"taylor_ratio_test": ratio(decrease, snapshot.lr * products)}
