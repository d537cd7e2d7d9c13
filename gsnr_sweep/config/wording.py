"""How messages write values, and what they propose instead of a wrong name."""

from __future__ import annotations

import difflib

from gsnr_sweep.config.program import launch_program
from gsnr_sweep.config.schema import help_of


def as_typed(value: object) -> str:
    """Write a value as people type it on a command line."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def suggest(name: str, known: list[str]) -> str:
    """Propose known names that look like `name`."""
    known = sorted(set(known))
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    if not close:
        short = {k.rpartition(".")[2]: k for k in known}
        close = [short[s] for s in difflib.get_close_matches(name, list(short), n=3, cutoff=0.6)]
    if close:
        return f"Did you mean {' or '.join(close)}?"
    return f"See `{launch_program()} --help` for the keys."


def not_allowed(key: str, value: object, allowed: tuple[str, ...]) -> str:
    """Say that a key does not take this value, and which ones it takes."""
    return f"{key}={value}: {help_of(key)}. Allowed: {', '.join(allowed)}."
