"""Pearson's and Spearman's coefficients of weighted points, of many samples at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gsnr_sweep.analysis.seeds import Matrix, ratio

Vector = NDArray[np.float64]


def pearson(x: Vector, y: Vector, weights: Matrix) -> Matrix:
    """Return Pearson's coefficient of each sample, shape (samples,).

    Args:
        x: Values, shape (points,).
        y: Values, shape (points,).
        weights: How often each point is in each sample, shape (samples, points).
    """
    return _weighted(x[None], y[None], weights)


def spearman(x: Vector, y: Vector, weights: Matrix) -> Matrix:
    """Return Spearman's coefficient of each sample: `pearson` of the ranks within it."""
    return _weighted(_ranks(x, weights), _ranks(y, weights), weights)


def _ranks(values: Vector, weights: Matrix) -> Matrix:
    """Return the ranks of values that occur so often; ties share the mean of their ranks."""
    _, code = np.unique(values, return_inverse=True)
    order = np.argsort(code, kind="stable")
    starts = np.flatnonzero(np.diff(code[order], prepend=-1))
    of_value = np.add.reduceat(weights[:, order], starts, axis=1)
    rank = np.cumsum(of_value, axis=1) - of_value + (of_value + 1) / 2
    return rank[:, code]


def _weighted(x: Matrix, y: Matrix, weights: Matrix) -> Matrix:
    total = weights.sum(1, keepdims=True)
    x, y = (v - (weights * v).sum(1, keepdims=True) / total for v in (x, y))
    spread = (weights * x**2).sum(1) * (weights * y**2).sum(1)
    return ratio((weights * x * y).sum(1), np.sqrt(spread))
