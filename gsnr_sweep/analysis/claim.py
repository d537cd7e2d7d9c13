"""A claim about a sweep's runs, of a paper or of the user's own, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["holds", "does not hold", "cannot be told"]
HOLDS: Verdict = "holds"
FAILS: Verdict = "does not hold"
UNCLEAR: Verdict = "cannot be told"


@dataclass(frozen=True)
class Claim:
    """One claim.

    Attributes:
        text: What is claimed, in a sentence.
        source: Where it is claimed, such as a section, figure or equation of a paper.
        verdict: Whether these runs bear it out.
        evidence: The numbers behind the verdict, and the rule.
    """

    text: str
    source: str
    verdict: Verdict
    evidence: str


def verdict(holds: bool, fails: bool) -> Verdict:
    """Return the verdict of two exclusive conditions."""
    if holds:
        return HOLDS
    return FAILS if fails else UNCLEAR
