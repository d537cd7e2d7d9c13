"""Left side of eq. (19): the one-step generalization ratio by its definition."""

from __future__ import annotations

import math

from gsnr_sweep.measures.ratio import leave_one_out, ratio, variance_over_sets
from gsnr_sweep.training.snapshot import After, Snapshot


def osgr_lhs(snapshot: Snapshot) -> dict[str, float]:
    """OSGR from losses before and after the step (Liu et al. 2020, eqs. 4 and 23).

    R = Σ_m (L'_{t+1} − L'_t) / Σ_m (L_{t+1} − L_t).

    Returns:
        ``osgr_lhs``; its standard error ``osgr_lhs_se``, the jackknife over the M training sets
        plus the test set's own sampling error; and the latter alone, ``osgr_lhs_test_se``, which
        all runs on one test set have in common.
    """
    return loss_ratio(snapshot, snapshot.after, "osgr_lhs")


def loss_ratio(snapshot: Snapshot, after: After, name: str) -> dict[str, float]:
    """Return the ratio of test to training loss decrease since the snapshot, and its errors.

    Args:
        snapshot: Of θ_t.
        after: Losses after some steps from there.
        name: What to call it.

    Returns:
        By `name` Σ_m (L' − L'_t) / Σ_m (L − L_t), and its standard errors, see `osgr_lhs`.
    """
    test, train = after.test_loss - snapshot.test_loss, after.train_loss - snapshot.train_loss
    over_sets = variance_over_sets(leave_one_out(test, train), snapshot.n, snapshot.pool)
    over_test_samples = variance_from_test_set(snapshot, after)
    return {
        name: ratio(test, train),
        f"{name}_se": math.sqrt(over_sets + over_test_samples),
        f"{name}_test_se": math.sqrt(over_test_samples),
    }


def variance_from_test_set(snapshot: Snapshot, after: After) -> float:
    """Variance of a left side that comes from the choice of the test set.

    The numerator is a mean over the n' test samples of their loss changes summed over replicas, so
    its variance is theirs over n'; the denominator does not depend on the test set.
    """
    changes = after.test_loss_change
    if len(changes) < 2:
        return math.nan
    denominator = float((after.train_loss - snapshot.train_loss).sum())
    if not denominator:
        return math.nan
    return float(changes.var()) / len(changes) / denominator**2
