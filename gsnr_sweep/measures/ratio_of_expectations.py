"""How much it matters that R is a ratio of expectations: eqs. (4) and (15) to (19)."""

from __future__ import annotations

import math

from torch import Tensor

from gsnr_sweep.measures.osgr_rhs import noise_and_power
from gsnr_sweep.training.snapshot import Snapshot


def ratio_of_expectations(snapshot: Snapshot) -> dict[str, float]:
    """Mean over the training sets of each set's own ratio, for both sides of eq. (19).

    The one-step generalization ratio R is a ratio of expectations, E(ΔL[D']) / E(ΔL[D]) (Liu et al.
    2020, eq. 4), and (15) to (19) replace both by their own. What a single training does has the
    ratio of its own set; its mean over sets is R only where the denominators hardly differ.

    Returns:
        ``osgr_lhs_of_sets`` = (1/M) Σ_m (ΔL_m[D'] / ΔL_m[D]) beside ``osgr_lhs``, eq. (23), and
        ``osgr_rhs_of_sets`` = (1/M) Σ_m (1 − Σ_j ρ²_m,j / (n Σ_j g²_m,j)) beside ``osgr_rhs``, eq.
        (24). NaN where a set's denominator is 0.
    """
    test = snapshot.test_loss - snapshot.test_loss_next
    train = snapshot.train_loss - snapshot.train_loss_next
    noise, power = noise_and_power(snapshot)
    return {
        "osgr_lhs_of_sets": _mean_ratio(test, train),
        "osgr_rhs_of_sets": 1 - _mean_ratio(noise, power),
    }


def _mean_ratio(numerators: Tensor, denominators: Tensor) -> float:
    if not bool((denominators != 0).all()):
        return math.nan
    return float((numerators / denominators).mean())
