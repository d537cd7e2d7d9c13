"""What messages say of a key that is wrong, or takes another value."""

from __future__ import annotations

from gsnr_sweep.config.program import launch_program
from gsnr_sweep.config.schema import help_of
from gsnr_sweep.wording import did_you_mean


def suggest(name: str, known: list[str]) -> str:
    """Propose the known key that looks like `name`, or whose last part does."""
    last_parts = {key.rpartition(".")[2]: key for key in sorted(known)}
    proposed = did_you_mean(name, known) or did_you_mean(name, last_parts)
    return proposed or f"See `{launch_program()} --help` for the keys."


def not_allowed(key: str, value: object, allowed: tuple[str, ...]) -> str:
    """Say that a key does not take this value, and which ones it takes."""
    return f"{key}={value}: {help_of(key)}. Allowed: {', '.join(allowed)}."
