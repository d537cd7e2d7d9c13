"""Words that numbers are told in."""

from __future__ import annotations


def describe_duration(seconds: float) -> str:
    """Write a duration roughly, such as ``12 min``."""
    if seconds < 90:
        return f"{max(0, round(seconds))} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"
