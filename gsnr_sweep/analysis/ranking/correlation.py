"""Pearson's and Spearman's coefficients of a measure with the target, by resample of the seeds."""

from __future__ import annotations

import numpy as np

from gsnr_sweep.analysis.ranking.networks import Networks, Vector
from gsnr_sweep.analysis.ranking.seeds import Matrix, Resamples, ratio


def pearson(networks: Networks, measure: Vector, resamples: Resamples) -> Matrix:
    """Return Pearson's coefficient of each resample.

    Args:
        networks: N networks.
        measure: Values, shape (N,).
        resamples: Of their seeds.
    """
    weights = resamples.counts[:, networks.seeds]
    return _weighted(weights, measure[None], networks.target[None])


def spearman(networks: Networks, measure: Vector, resamples: Resamples) -> Matrix:
    """Return Spearman's coefficient of each resample: Pearson's of the ranks within it.

    Args:
        networks: N networks.
        measure: Values, shape (N,).
        resamples: Of their seeds.
    """
    weights = resamples.counts[:, networks.seeds]
    return _weighted(weights, _ranks(measure, weights), _ranks(networks.target, weights))


def _ranks(values: Vector, weights: Matrix) -> Matrix:
    """Return the ranks of values that occur so often; ties share the mean of their ranks."""
    _, code = np.unique(values, return_inverse=True)
    order = np.argsort(code, kind="stable")
    starts = np.flatnonzero(np.diff(code[order], prepend=-1))
    of_value = np.add.reduceat(weights[:, order], starts, axis=1)
    rank = np.cumsum(of_value, axis=1) - of_value + (of_value + 1) / 2
    return rank[:, code]


def _weighted(weights: Matrix, x: Matrix, y: Matrix) -> Matrix:
    total = weights.sum(1, keepdims=True)
    x, y = (v - (weights * v).sum(1, keepdims=True) / total for v in (x, y))
    spread = (weights * x**2).sum(1) * (weights * y**2).sum(1)
    return ratio((weights * x * y).sum(1), np.sqrt(spread))
