"""What is said of an argument that is no override, and how it is written so that it is one."""

from __future__ import annotations

import re
import shlex

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

_LONG = 300
_DIGITS = 308
"""Of the largest float."""
_KEY = re.compile(r"[+~]{0,2}[\w./@:$-]+")


def too_many_digits(override: str) -> bool:
    """Whether a number in it is larger than any float."""
    return re.search(rf"\d{{{_DIGITS + 1}}}", override) is not None


def unreadable(override: str) -> str:
    """Say what keeps an argument from being read as ``KEY=VALUE``, and what to type instead."""
    shown = repr(override if len(override) <= _LONG else f"{override[:60]}…")
    key, equals, value = override.partition("=")
    if not equals or not _KEY.fullmatch(key):
        return (
            f"{shown} cannot be read as KEY=VALUE. Write one argument for each key, without blanks "
            "around the equals sign: n=1000."
        )
    if len(key) > _LONG // 2:
        return f"{shown} cannot be read: no key has {len(key):,} characters."
    if len(override) > _LONG:
        digits = max(map(len, re.findall(r"\d+", value)), default=0)
        what = (
            f"a number of {digits:,} digits" if digits > _DIGITS else f"{len(value):,} characters"
        )
        return f"{shown} cannot be read: no key takes {what}."
    if override.endswith(("\r", "\n")):
        return (
            f"{shown} ends with a line break, as files from Windows have them. Leave it out: "
            f"{override.strip()}"
        )
    if quoted := _quoted(key, value):
        return (
            f"{shown} cannot be read as KEY=VALUE. If the value is a text, put it into quotes of "
            f"its own: {_for_shell(quoted)}. Lists and mappings need all their brackets: "
            "'measure_at=[20,100]'."
        )
    return (
        f"{shown} cannot be read as KEY=VALUE. Lists and mappings need all their brackets, texts "
        "all their quotes: 'measure_at=[20,100]'."
    )


def _for_shell(text: str) -> str:
    """Write an argument that holds single quotes so that a shell leaves it as it is."""
    return shlex.quote(text) if any(sign in text for sign in '"$`\\!') else f'"{text}"'


def _quoted(key: str, value: str) -> str:
    """Write the value as a text of Hydra's grammar; empty if that cannot be read either."""
    text = value.strip("'\"").replace("'", "\\'")
    quoted = f"{key}='{text}'"
    try:
        OverridesParser.create().parse_overrides([quoted])
    except (HydraException, ValueError, RecursionError):
        return ""
    return quoted
