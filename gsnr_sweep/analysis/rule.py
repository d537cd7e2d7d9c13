"""Rules of claims: bounds on means over seeds, and how often such a rule errs.

A claim is a sentence about settings that were chosen; what is drawn are the seeds (initial weights,
data, labels). So a rule asks on which side of a bound the mean over seeds of a statistic lies, by
Student's 95 % interval. It errs if seeds happen to lie on the wrong side. How often is simulated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gsnr_sweep.analysis.claim import FEWEST_SEEDS, Claim, verdict
from gsnr_sweep.analysis.seed_means import SeedMean, seed_mean
from gsnr_sweep.analysis.standard_errors import half_width

if TYPE_CHECKING:
    from pandas import DataFrame, Series

DRAWS = 20_000
"""Simulated sweeps: an error rate of 2.5 % is then known to 0.2 %."""
_SKEWED = 4.0  # shape of the gamma distribution, whose skewness is then 1


@dataclass(frozen=True)
class Condition:
    """The mean over seeds of a statistic lies above a bound, or below it.

    Attributes:
        values: One value a seed, indexed by seed.
        bound: What the mean is compared with.
        effect: A mean on the right side of the bound that the rule is meant to find: what a paper
            reports, or what is worth knowing.
        told: The effect in words, where the number alone does not say it.
    """

    values: Series[Any]
    bound: float
    effect: float
    told: str = ""

    @cached_property
    def mean(self) -> SeedMean:
        """The mean with its interval."""
        return seed_mean(self.values)

    @property
    def is_met(self) -> bool:
        """Whether the interval is on the effect's side of the bound."""
        return self.mean.low > self.bound if self._up else self.mean.high < self.bound

    @property
    def is_refuted(self) -> bool:
        """Whether the interval is on the other side."""
        return self.mean.high < self.bound if self._up else self.mean.low > self.bound

    @property
    def distance(self) -> float:
        """How far the effect is from the bound."""
        return abs(self.effect - self.bound)

    @property
    def _up(self) -> bool:
        return self.effect > self.bound


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


def judge(
    text: str,
    source: str,
    conditions: Sequence[Condition],
    evidence: str,
    *,
    runs: int | None = None,
    least: int = FEWEST_SEEDS,
    fails: bool | None = None,
) -> Claim:
    """Judge a claim: it holds if every condition is met.

    Args:
        text: What is claimed, in a sentence.
        source: Where.
        conditions: What must be met; of none the claim cannot be told.
        evidence: The numbers behind the verdict, and the rule.
        runs: How many runs it rests on; None for all of the sweep.
        least: How many it needs.
        fails: Whether the claim does not hold, if not when a condition is refuted.
    """
    if fails is None:
        fails = any(condition.is_refuted for condition in conditions)
    return Claim(
        text,
        source,
        verdict(bool(conditions) and all(c.is_met for c in conditions), fails),
        evidence,
        runs=runs,
        least=least,
        seeds=min((condition.mean.seeds for condition in conditions), default=0),
        errors=error_rates(conditions),
    )


def error_rates(conditions: Sequence[Condition]) -> ErrorRates | None:
    """Simulate how often the rule that all these conditions be met errs.

    False positives are those of a single condition whose mean lies at its bound while the others
    are met: no other case in which the claim is wrong has more. For false negatives every mean is
    the condition's effect, and seeds vary as they were measured to.

    Returns:
        None with fewer than two seeds that have every value.
    """
    from pandas import concat

    if not conditions:
        return None
    values = concat([condition.values for condition in conditions], axis=1).dropna()
    if len(values) < 2:
        return None
    seeds = len(values)
    return ErrorRates(
        seeds,
        *_false_positives(seeds),
        tuple(c.told or f"a mean of {c.effect:.3g}" for c in conditions),
        _false_negative(values, np.array([condition.distance for condition in conditions])),
    )


@lru_cache
def _false_positives(seeds: int) -> tuple[float, float]:
    """Return how often an interval is above the mean, of normal and of skewed values."""
    rng = np.random.default_rng(0)
    normal = rng.standard_normal((DRAWS, seeds, 1))
    skewed = _SKEWED - rng.gamma(_SKEWED, size=(DRAWS, seeds, 1))
    return float(_found(normal).mean()), float(_found(skewed).mean())


def _false_negative(values: DataFrame, distance: NDArray[np.float64]) -> float:
    covariance = np.atleast_2d(np.cov(values.to_numpy(dtype=float), rowvar=False))
    rng = np.random.default_rng(0)
    drawn = rng.multivariate_normal(distance, covariance, size=(DRAWS, len(values)))
    return 1 - float(_found(drawn).all(axis=-1).mean())


def _found(drawn: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell of sweeps, [draws, seeds, conditions], where the interval is above 0."""
    seeds = drawn.shape[1]
    error = drawn.std(axis=1, ddof=1) / math.sqrt(seeds)
    found: NDArray[np.bool_] = drawn.mean(axis=1) > half_width(error, seeds - 1)
    return found
