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
    return named_loss_ratio("osgr_lhs", snapshot, snapshot.after)


def named_loss_ratio(name: str, snapshot: Snapshot, after: After) -> dict[str, float]:
    """Return by `name` what `loss_ratio` does, and the test set's part of the error."""
    value, error = loss_ratio(snapshot, after)
    test_error = math.sqrt(variance_from_test_set(snapshot, after))
    return {name: value, f"{name}_se": error, f"{name}_test_se": test_error}


def loss_ratio(snapshot: Snapshot, after: After) -> tuple[float, float]:
    """Return the ratio of test to training loss decrease since the snapshot, and its error.

    Args:
        snapshot: Of θ_t.
        after: Losses after some steps from there.

    Returns:
        Σ_m (L' − L'_t) / Σ_m (L − L_t), and its standard error: the jackknife over the M training
        sets, plus the test set's own sampling error.
    """
    test, train = after.test_loss - snapshot.test_loss, after.train_loss - snapshot.train_loss
    over_sets = variance_over_sets(leave_one_out(test, train), snapshot.n, snapshot.pool)
    return ratio(test, train), math.sqrt(over_sets + variance_from_test_set(snapshot, after))


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
