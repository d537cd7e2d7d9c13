"""How messages write values and durations, and what they propose instead of a wrong name."""

from __future__ import annotations

import difflib
import logging
import math
import re
from collections.abc import Iterable, Mapping

_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]"  # not tab, newline
)


def printable(text: str) -> str:
    """Return a text without control characters, those of direction included; lines stay.

    What is printed may come from a log, a status file or somebody's exception: an escape sequence
    in it could rename the window, hide lines, or type for the user.
    """
    return _CONTROL.sub("", text)


class LogFormatter(logging.Formatter):
    """Writes log entries, traces of errors included, without control characters."""

    def format(self, record: logging.LogRecord) -> str:
        """Write an entry."""
        return printable(super().format(record))


def as_typed(value: object) -> str:
    """Write a value as people type it on a command line."""
    if value is None:
        return "null"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(as_typed, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Propose the known name that looks most like a wrong one.

    Args:
        name: The wrong name.
        known: Right names; of a mapping, the name's value is proposed.

    Returns:
        A question such as ``Did you mean ch?``; empty if nothing looks like `name`.
    """
    shown = known if isinstance(known, Mapping) else {one: one for one in known}
    close = difflib.get_close_matches(name, sorted(shown), n=1)
    if not close:
        return ""
    right = shown[close[0]]
    return f"Did you mean {repr(right) if ' ' in right else right}?"


class Step(float):
    """A place in trainings whose epochs have different numbers of steps: after so many steps.

    As a number it is the earliest epoch at which one of them is there.
    """

    step: int

    def __new__(cls, step: int, epoch: float) -> Step:
        """Make one."""
        made = super().__new__(cls, epoch)
        made.step = step
        return made


def describe_epoch(epoch: float) -> str:
    """Write an epoch, a fraction of one, a `Step`, or the end of a training, which is at infinity.

    Example:
        >>> describe_epoch(20), describe_epoch(4 / 3), describe_epoch(math.inf)
        ('20', '1.333', 'end')
        >>> describe_epoch(Step(5, 0.25))
        'step 5'
    """
    if isinstance(epoch, Step):
        return f"step {epoch.step}"
    if math.isinf(epoch):
        return "end"
    return f"{int(epoch)}" if epoch == int(epoch) else f"{epoch:.4g}"


def describe_duration(seconds: float) -> str:
    """Write a duration roughly, such as ``12 min``."""
    if seconds < 90:
        return f"{max(0, round(seconds))} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"
