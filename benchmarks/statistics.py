"""Times of contenders that took turns, and their ratios."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """A median with the smallest and the largest value.

    Attributes:
        median: Of the values.
        low: The smallest.
        high: The largest.
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarize values."""
        return cls(statistics.median(values), min(values), max(values))

    def text(self, digits: int = 3) -> str:
        """Write median and range with so many significant digits."""
        low, high = number(self.low, digits), number(self.high, digits)
        middle = number(self.median, digits)
        return middle if low == high else f"{middle} ({low}..{high})"


def number(value: float, digits: int = 3) -> str:
    """Write a number with so many significant digits and no exponent."""
    if value == 0 or math.isnan(value):
        return "0" if value == 0 else "–"
    before = len(str(int(abs(value)))) if abs(value) >= 1 else 0
    if before >= digits:
        return f"{value:,.0f}"
    text = f"{value:.{digits}g}"
    return f"{value:.{digits - before}f}" if before else text


def take_turns(
    contenders: Mapping[str, Callable[[], float]], rounds: int
) -> dict[str, list[float]]:
    """Time contenders in turn, A B C A B C …, so that a slow minute hits all of them.

    Args:
        contenders: Each returns the seconds that its work took.
        rounds: Times that each gets its turn.
    """
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, measure in contenders.items():
            times[name].append(measure())
    return times


def ratio(times: Sequence[float], base: Sequence[float]) -> Spread:
    """Compare two contenders round by round.

    Args:
        times: Seconds of one in each round.
        base: Seconds of the other in the same rounds.

    Returns:
        times / base: the median of the rounds' ratios, and their range.
    """
    return Spread.of([a / b for a, b in zip(times, base, strict=True)])
