"""How often the rule of a claim errs: simulated sweeps whose seeds vary as those of a real one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gsnr_sweep.analysis.standard_errors import half_width

DRAWS = 20_000
"""Simulated sweeps: an error rate of 2.5 % is then known to 0.2 %."""
_SKEWED = 4.0  # shape of the gamma distribution, whose skewness is then 1

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class ErrorRates:
    """How often a rule errs, in simulated sweeps.

    Attributes:
        seeds: Seeds of a sweep.
        false_positive: Share in which a claim is said to hold whose mean lies at the bound, if
            seeds vary normally.
        false_positive_skewed: The same if they vary with skewness 1, away from the claim.
        effects: The means by which `false_negative` is found, in words.
        false_negative: Share in which a claim with these means is not said to hold, if seeds vary
            normally, with the variances and correlations that were measured.
    """

    seeds: int
    false_positive: float
    false_positive_skewed: float
    effects: tuple[str, ...]
    false_negative: float

    def __str__(self) -> str:
        """Write the rates as a sentence."""
        effects = ", ".join(dict.fromkeys(self.effects))
        return (
            f"Errors of the rule with {self.seeds} seeds, simulated: it holds wrongly in "
            f"{self.false_positive:.1%} of sweeps whose mean is at the bound "
            f"({self.false_positive_skewed:.1%} if seeds vary with skewness 1), and misses "
            f"{effects} in {self.false_negative:.1%} if seeds differ as here."
        )


def simulated(values: Matrix, distances: Sequence[float], effects: Sequence[str]) -> ErrorRates:
    """Simulate how often a rule errs that asks of means over seeds that all lie beyond bounds.

    False positives are those of a single condition whose mean lies at its bound while the others
    are met: no other case in which the claim is wrong has more. For false negatives every mean is
    the condition's effect, and seeds vary as they were measured to.

    Args:
        values: A row a seed, a column a condition; two rows or more.
        distances: How far each condition's effect lies from its bound.
        effects: The effects in words.
    """
    seeds = len(values)
    missed = _false_negative(values, np.asarray(distances, dtype=float))
    return ErrorRates(seeds, *_false_positives(seeds), tuple(effects), missed)


@lru_cache
def _false_positives(seeds: int) -> tuple[float, float]:
    """Return how often an interval is above the mean, of normal and of skewed values."""
    rng = np.random.default_rng(0)
    normal = rng.standard_normal((DRAWS, seeds, 1))
    skewed = _SKEWED - rng.gamma(_SKEWED, size=(DRAWS, seeds, 1))
    return float(_found(normal).mean()), float(_found(skewed).mean())


def _false_negative(values: Matrix, distances: Matrix) -> float:
    covariance = np.atleast_2d(np.cov(values, rowvar=False))
    rng = np.random.default_rng(0)
    drawn = rng.multivariate_normal(distances, covariance, size=(DRAWS, len(values)))
    return 1 - float(_found(drawn).all(axis=-1).mean())


def _found(drawn: Matrix) -> NDArray[np.bool_]:
    """Tell of sweeps, [draws, seeds, conditions], where the interval is above 0."""
    seeds = drawn.shape[1]
    error = drawn.std(axis=1, ddof=1) / math.sqrt(seeds)
    found: NDArray[np.bool_] = drawn.mean(axis=1) > half_width(error, seeds - 1)
    return found
