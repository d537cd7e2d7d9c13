"""How far an error of a measured value reaches: Student's t with the degrees that it has."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

CONFIDENCE = 0.95
Vector = NDArray[np.float64]


def degrees_of_freedom(
    error: ArrayLike,
    n_sets: ArrayLike,
    test_error: ArrayLike | None = None,
    n_test: ArrayLike = math.nan,
) -> Vector:
    """Return the degrees of freedom of standard errors made of two parts.

    The part over M training sets has M − 1, the part over n' test samples n' − 1. Together they
    have (a + b)² / (a²/(M − 1) + b²/(n' − 1)) for variances a and b (Welch 1947; Satterthwaite
    1946).

    Args:
        error: Standard errors over both, shape (points,).
        n_sets: M of each point; NaN where it is not known, which counts as many.
        test_error: The part over test samples; none of a value without, or NaN where it is not
            known, which leaves M − 1.
        n_test: n' of each point.

    Returns:
        Shape (points,); NaN where there is no error, as for M = 1.
    """
    errors = np.asarray(error, dtype=float)
    of_sets = np.nan_to_num(np.asarray(n_sets, dtype=float), nan=math.inf) - 1
    of_test = np.asarray(n_test, dtype=float) - 1
    test = 0.0 if test_error is None else np.nan_to_num(np.asarray(test_error, dtype=float))
    with np.errstate(divide="ignore", invalid="ignore"):
        # An error of 0, or one whose test samples nobody counted, has the degrees of its sets.
        share = np.where((errors > 0) & (of_test > 0), np.minimum(test / errors, 1.0) ** 2, 0.0)
        parts = (1 - share) ** 2 / of_sets + np.where(share > 0, share**2 / of_test, 0.0)
        freedom = 1 / parts
    return np.where(np.isfinite(errors) & (of_sets > 0), freedom, math.nan)


def half_width(error: ArrayLike, freedom: ArrayLike) -> Vector:
    """Return half the width of the 95 % interval: Student's quantile times the standard error."""
    from scipy import stats  # takes half a second, which a launch's checks need not wait for

    quantile = stats.t.ppf((1 + CONFIDENCE) / 2, np.asarray(freedom, dtype=float))
    return np.asarray(quantile * np.asarray(error, dtype=float), dtype=float)
