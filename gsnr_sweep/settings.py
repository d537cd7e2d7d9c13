"""Fields of settings: what a key means; its value stands in ``conf/``."""

from __future__ import annotations

from dataclasses import field
from typing import Any

MISSING = "???"
"""OmegaConf's mark of a value that has to be given, written out: the core does not import it."""


def key(help_text: str) -> Any:
    """A config key without a default in code (``conf/`` holds it) and with its line of help."""
    return field(default=MISSING, metadata={"help": help_text})


def names(help_text: str) -> Any:
    """A list of names that people's own config files may leave out."""
    return field(default_factory=list, metadata={"help": help_text})


def unset(help_text: str) -> Any:
    """A key that people's own config files, and older records, may leave out: null."""
    return field(default=None, metadata={"help": help_text})


def off(help_text: str) -> Any:
    """A switch that people's own config files, and older records, may leave out."""
    return field(default=False, metadata={"help": help_text})


def default(value: Any, help_text: str) -> Any:
    """A key that people's own config files, and older records, may leave out."""
    return field(default=value, metadata={"help": help_text})


def auto(help_text: str) -> Any:
    """A choice that people's own config files, and older records, may leave out."""
    return field(default="auto", metadata={"help": help_text})
