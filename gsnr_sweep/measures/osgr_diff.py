"""Difference of the two sides of eq. (19)."""

from __future__ import annotations

import math

from gsnr_sweep.measures.osgr_lhs import variance_from_test_set
from gsnr_sweep.measures.osgr_rhs import noise_and_power
from gsnr_sweep.measures.ratio import leave_one_out, ratio, variance_over_sets
from gsnr_sweep.training.snapshot import Snapshot


def osgr_diff(snapshot: Snapshot) -> dict[str, float]:
    """LHS − RHS of eq. (19), with an error that knows that both come from the same sets.

    Returns:
        ``osgr_diff`` and ``osgr_diff_se``: the jackknife of the difference over the M training
        sets, plus the test set's sampling error of the left side.
    """
    test = snapshot.test_loss_next - snapshot.test_loss
    train = snapshot.train_loss_next - snapshot.train_loss
    noise, power = noise_and_power(snapshot)
    estimates = leave_one_out(test, train) - (1 - leave_one_out(noise, power))
    over_sets = variance_over_sets(estimates, snapshot.n, snapshot.pool)
    variance = over_sets + variance_from_test_set(snapshot, snapshot.after)
    return {
        "osgr_diff": ratio(test, train) - (1 - ratio(noise, power)),
        "osgr_diff_se": math.sqrt(variance),
    }
