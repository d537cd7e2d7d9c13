"""The value of a measure that is not defined for a network, with the reason."""

from __future__ import annotations

import math


class Undefined(float):
    """Not a number, and why.

    A record notes it among the values that are not finite, with the reason.

    Attributes:
        reason: A sentence's middle, such as "the margin is -0.3, which is not positive".
    """

    reason: str

    def __new__(cls, reason: str) -> Undefined:
        """Make it.

        Example:
            >>> Undefined("the margin is not positive"), Undefined("no chain").reason
            (nan, 'no chain')
        """
        value = super().__new__(cls, math.nan)
        value.reason = reason
        return value


def reason_of(value: object) -> str:
    """Return why a value is not defined; empty if nobody said."""
    return value.reason if isinstance(value, Undefined) else ""
