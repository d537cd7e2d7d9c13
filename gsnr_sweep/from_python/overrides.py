"""Overrides given in Python, written as the command line takes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from os import PathLike, fspath
from typing import Any

from hydra.core.override_parser.types import Quote, QuotedString

from gsnr_sweep.errors import GsnrError

_PLAIN = re.compile(r"[A-Za-z_][\w./-]*")
_WORDS = {"true", "false", "null", "inf", "nan"}
"""What stands for something else than its letters, in any case."""


def command_arguments(
    overrides: tuple[str, ...], settings: Mapping[str, Any], *, sweep: bool
) -> list[str]:
    """Return the arguments of the command line that says the same.

    Args:
        overrides: As typed on the command line.
        settings: Values by key; of a sweep, a list, tuple or range holds the values of an axis.
        sweep: Whether a grid is meant.

    Raises:
        GsnrError: An override is no text, or a value cannot be written.

    Example:
        >>> command_arguments(("lr=0.1",), {"n": [1000, 2000], "data": "toy"}, sweep=True)
        ['-m', 'lr=0.1', 'n=1000,2000', 'data=toy']
    """
    for override in overrides:
        if not isinstance(override, str):
            raise GsnrError(
                f"{override!r}: an override is a text such as 'n=1000', as on the command line, or "
                "an argument by name: n=1000."
            )
    given = [f"{key}={_value(key, value, sweep)}" for key, value in settings.items()]
    return [*(["-m"] if sweep else []), *overrides, *given]


def _value(key: str, value: Any, sweep: bool) -> str:
    value = _plain(value)
    if sweep and isinstance(value, list):
        if not value:
            raise GsnrError(f"{key}=[]: a sweep over no values. Give at least one: {key}=[1, 2].")
        return ",".join(_written(key, each) for each in value)
    return _written(key, value)


def _plain(value: Any) -> Any:
    """Return arrays, tuples and ranges as lists, NumPy's and PyTorch's numbers as Python's."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return list(value) if isinstance(value, tuple | range) else value


def _written(key: str, value: Any) -> str:
    value = _plain(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str | PathLike):
        return _text(str(fspath(value)))
    if isinstance(value, list):
        return f"[{','.join(_written(key, each) for each in value)}]"
    if isinstance(value, Mapping):
        items = (f"{name}:{_written(key, each)}" for name, each in value.items())
        return f"{{{','.join(items)}}}"
    raise GsnrError(
        f"{key}={value!r}: a value of type {type(value).__name__} cannot stand in a config. Give a "
        "number, a text, True, False, None, or a list or dictionary of these; code of your own is "
        "named by its dotted path."
    )


def _text(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return QuotedString(text, Quote.single).with_quotes()
