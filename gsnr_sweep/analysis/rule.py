"""Rules of claims: bounds on means over seeds.

A claim is a sentence about settings that were chosen; what is drawn are the seeds (initial weights,
data, labels). So a rule asks on which side of a bound the mean over seeds of a statistic lies, by
Student's 95 % interval. It errs if seeds happen to lie on the wrong side: `ErrorRates`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gsnr_sweep.analysis.claim import FEWEST_SEEDS, Claim, verdict
from gsnr_sweep.analysis.error_rates import ErrorRates, simulated
from gsnr_sweep.analysis.seed_means import SeedMean, seed_mean

if TYPE_CHECKING:
    from pandas import Series


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
    """Simulate how often the rule that all these conditions be met errs, see `simulated`.

    Returns:
        None with fewer than two seeds that have every value.
    """
    from pandas import concat

    if not conditions:
        return None
    values = concat([condition.values for condition in conditions], axis=1).dropna()
    if len(values) < 2:
        return None
    told = tuple(c.told or f"a mean of {c.effect:.3g}" for c in conditions)
    return simulated(values.to_numpy(dtype=float), [c.distance for c in conditions], told)
