"""A claim about a sweep's runs, of a paper or of the user's own, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Verdict = Literal["holds", "does not hold", "cannot be told"]
HOLDS: Verdict = "holds"
FAILS: Verdict = "does not hold"
UNCLEAR: Verdict = "cannot be told"
FEWEST_RUNS = 2
"""Runs that a claim needs unless it says otherwise: one run may be an accident."""
ONE_RUN = 1
"""Runs that a claim about the course of a training needs: the paper shows a single one, too."""


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
    """

    text: str
    source: str
    verdict: Verdict
    evidence: str
    runs: int | None = None
    least: int = FEWEST_RUNS

    def __post_init__(self) -> None:
        """Leave open what rests on too few runs."""
        if self.runs is not None and self.runs < self.least:
            told = f"Not enough runs: {self.runs} of at least {self.least}."
            object.__setattr__(self, "verdict", UNCLEAR)
            object.__setattr__(self, "evidence", f"{told} {self.evidence}")

    def of_sweep(self, runs: int) -> Claim:
        """Return the claim as it is judged in a sweep of so many runs."""
        return self if self.runs is not None else replace(self, runs=runs)


def verdict(holds: bool, fails: bool) -> Verdict:
    """Return the verdict of two exclusive conditions."""
    if holds:
        return HOLDS
    return FAILS if fails else UNCLEAR
