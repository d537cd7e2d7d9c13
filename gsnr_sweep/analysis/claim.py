"""A claim about a sweep's runs, of a paper or of the user's own, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from gsnr_sweep.analysis.error_rates import ErrorRates

Verdict = Literal["holds", "does not hold", "cannot be told"]
HOLDS: Verdict = "holds"
FAILS: Verdict = "does not hold"
UNCLEAR: Verdict = "cannot be told"
FEWEST_RUNS = 2
"""Runs that a claim needs unless it says otherwise: one run may be an accident."""
FEWEST_SEEDS = 3
"""Seeds that a claim about means over seeds needs unless it says otherwise.

To be found in 95 % of sweeps, a mean must lie 18 standard deviations from its bound with two seeds,
4.5 with three, 2.2 with five.
"""


@dataclass(frozen=True)
class Claim:
    """One claim.

    Attributes:
        text: What is claimed, in a sentence.
        source: Where it is claimed, such as a section, figure or equation of a paper.
        verdict: Whether these runs bear it out.
        evidence: The numbers behind the verdict, and the rule.
        runs: How many runs the verdict rests on; None for all of the sweep.
        least: How many it needs. Of fewer runs it cannot be told, whatever `verdict` says.
        seeds: On how many seeds the verdict rests, where it rests on their spread; else None.
        least_seeds: How many it needs then.
        errors: How often its rule errs with so many seeds, where that was simulated.
    """

    text: str
    source: str
    verdict: Verdict
    evidence: str
    runs: int | None = None
    least: int = FEWEST_RUNS
    seeds: int | None = None
    least_seeds: int = FEWEST_SEEDS
    errors: ErrorRates | None = None

    def __post_init__(self) -> None:
        """Leave open what rests on too few runs, or on too few seeds."""
        if self.runs is not None and self.runs < self.least:
            self._leave_open(f"Not enough runs: {self.runs} of at least {self.least}.")
        elif self.seeds is not None and self.seeds < self.least_seeds:
            self._leave_open(f"Not enough seeds: {self.seeds} of at least {self.least_seeds}.")

    def _leave_open(self, why: str) -> None:
        object.__setattr__(self, "verdict", UNCLEAR)
        if not self.evidence.startswith(why):
            object.__setattr__(self, "evidence", f"{why} {self.evidence}".rstrip())

    @property
    def needs(self) -> str:
        """How many runs and seeds it needs, in words."""
        seeds = f" and {self.least_seeds} seeds" if self.seeds is not None else ""
        return f"Needs at least {self.least} runs{seeds}."

    def of_sweep(self, runs: int) -> Claim:
        """Return the claim as it is judged in a sweep of so many runs."""
        return self if self.runs is not None else replace(self, runs=runs)


def verdict(holds: bool, fails: bool) -> Verdict:
    """Return the verdict of two exclusive conditions."""
    if holds:
        return HOLDS
    return FAILS if fails else UNCLEAR
