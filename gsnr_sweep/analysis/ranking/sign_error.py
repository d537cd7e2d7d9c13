"""Sign errors by environment: whether a measure is right wherever one setting moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gsnr_sweep.analysis.ranking.kendall import Signs
from gsnr_sweep.analysis.ranking.networks import Networks, Vector
from gsnr_sweep.analysis.seeds import Matrix, Resamples, ratio

LEAST_EFFECTIVE_SAMPLES = 12.0
"""Fewest effective samples of an environment that counts, as in Dziugaite et al. 2020."""
_TAIL = 0.9


@dataclass(frozen=True)
class Environment:
    """A setting's move from one value to another, all else equal.

    Attributes:
        axis: Place of the axis.
        low: Place of the smaller value among the axis's.
        high: Of the greater one.
        error: Sign error of each resample, from 0 to 1; ½ is a coin's.
        effective: (Σw)² / Σw², the number of pairs, fewer if their weights differ.
    """

    axis: int
    low: int
    high: int
    error: Matrix
    effective: float


def hoeffding_weights(differences: Vector, n_test: int) -> Vector:
    """Return how surely the test error tells which of two networks has the larger target.

    A pair whose targets differ by Δ has [max(1 − 2 e^{−n' Δ²/2}, 0)]² − ½, at least 0: by
    Hoeffding's inequality both measured errors are that near their expectations (Dziugaite et al.
    2020).

    Args:
        differences: Δ of each pair.
        n_test: Number n' of test samples.
    """
    sure = np.maximum(1 - 2 * np.exp(-n_test * differences**2 / 2), 0) ** 2
    weights: Vector = np.maximum(sure - 0.5, 0)
    return weights


def environments(
    networks: Networks, agreement: Signs, resamples: Resamples, n_test: int | None
) -> list[Environment]:
    """Return the sign errors ½ (1 − sign Δμ · sign Δg) of each environment.

    Args:
        networks: N networks.
        agreement: sign(μ_i − μ_j) sign(g_i − g_j), shape (N, N).
        resamples: Of their seeds.
        n_test: Samples of the test set, if the target is an error, which gives pairs their
            `hoeffding_weights`; None for equal weights.
    """
    found = []
    for place, (first, second) in enumerate(networks.neighbours):
        level = networks.axes[place].codes
        up = level[first] < level[second]
        first, second = first[up], second[up]
        differences = networks.target[first] - networks.target[second]
        weight = np.ones(len(first)) if n_test is None else hoeffding_weights(differences, n_test)
        error = 0.5 * (1 - agreement[first, second])
        levels = len(networks.axes[place].values)
        move = level[first] * levels + level[second]
        for value in np.unique(move):
            here = move == value
            w, seeds = weight[here], networks.seeds[first[here]]
            above = np.bincount(seeds, w * error[here], networks.n_seeds)
            below = np.bincount(seeds, w, networks.n_seeds)
            effective = float(w.sum() ** 2 / (w**2).sum()) if w.any() else 0.0
            errors = ratio(resamples.counts @ above, resamples.counts @ below)
            low, high = divmod(int(value), levels)
            found.append(Environment(place, low, high, errors, effective))
    return found


def summary(
    found: list[Environment], least: float = LEAST_EFFECTIVE_SAMPLES
) -> tuple[Matrix, Matrix, Matrix] | None:
    """Return mean, 90th percentile and maximum of the sign error over environments.

    The maximum is the robust sign error of Dziugaite et al. 2020.

    Args:
        found: The environments.
        least: Fewest effective samples of one that counts.

    Returns:
        Each by resample; None if no environment counts.
    """
    counted = [one.error for one in found if one.effective >= least]
    if not counted:
        return None
    errors = np.stack(counted)
    return errors.mean(0), np.quantile(errors, _TAIL, axis=0), errors.max(0)
