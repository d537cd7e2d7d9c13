"""JSON files of ours as anybody may have left them: read into dataclasses, or refused.

A file in a run's or sweep's folder may be cut off, of another version, or a stranger's. Its values
are checked here, once, against the types that its dataclass declares, so that nothing behind it
meets a text where a number belongs.
"""

from __future__ import annotations

import errno
import json
import math
import os
import reprlib
import stat
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import lru_cache
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from gsnr_sweep.machine import memory_limit

T = TypeVar("T")
SMALL = 2**24
"""Bytes that no file but a record or a manifest reaches."""
_LARGEST_WHOLE = 2**63
_YEAR_9999 = 253_370_764_800.0


def read_whole(path: Path, largest: int | None = None) -> bytes:
    """Read a file.

    Args:
        path: An ordinary file: to open a pipe would wait for ever.
        largest: Bytes that it may have; None for as many as there is memory.

    Raises:
        OSError: It cannot be read, or is no ordinary file.
        ValueError: It is too large, or its name is none.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "no ordinary file", str(path))
        # A machine has room for a small file: its limits, kept in files, are not looked up.
        if found.st_size > SMALL and largest is None:
            largest = memory_limit()
        if largest is not None and found.st_size > largest:
            raise ValueError(f"it has {found.st_size:,} bytes")
        return file.read()


def read_json(path: Path, largest: int | None = None) -> Any:
    """Read a JSON file.

    Args:
        path: An ordinary file.
        largest: As in `read_whole`.

    Raises:
        OSError: It cannot be read.
        ValueError: It is too large, or no JSON.
    """
    try:
        return json.loads(read_whole(path, largest))
    except RecursionError:
        raise ValueError("its values are nested too deeply") from None


def from_json(
    cls: Callable[..., T], content: Any, *, skip_unknown: bool = False, **others: Any
) -> T:
    """Make a dataclass of what a JSON file holds.

    Args:
        cls: The dataclass; its fields are texts, numbers, enumerations, lists, mappings, other
            such dataclasses, or anything.
        content: The file's content.
        skip_unknown: Whether to leave out what the dataclass, or one in it, does not know: another
            version wrote it.
        others: Fields that the file does not hold.

    Raises:
        ValueError: A field is missing or unknown, or its value of another type.
    """
    if not isinstance(content, dict):
        raise ValueError(f"a mapping is needed where {_shown(content)} stands")
    kinds = _kinds(cls)
    if skip_unknown:
        content = {name: value for name, value in content.items() if name in kinds}
    if unknown := [name for name in content if name not in kinds or name in others]:
        raise ValueError(f"{_shown(unknown[0])} is unknown")
    values = {
        name: _converted(kinds[name], value, name, skip_unknown) for name, value in content.items()
    }
    try:
        return cls(**values, **others)
    except TypeError as error:  # one without a default is missing
        raise ValueError(str(error).partition(" ")[2]) from None


def check_time(seconds: float) -> None:
    """Refuse a number that is no time since 1970.

    Raises:
        ValueError: It is none.
    """
    if not 0 <= seconds < _YEAR_9999:
        raise ValueError(f"{seconds} is no time")


@lru_cache
def _kinds(cls: Callable[..., Any]) -> dict[str, Any]:
    hints = get_type_hints(cls)
    return {item.name: hints[item.name] for item in fields(cast(Any, cls))}


def _converted(kind: Any, value: Any, name: str, skip_unknown: bool) -> Any:
    """Return a value as the type of its field."""
    container = get_origin(kind)
    if kind is Any or _is_of_floats(kind, value):
        return value
    if container is UnionType:
        return None if value is None else _converted(get_args(kind)[0], value, name, skip_unknown)
    if container is list and isinstance(value, list):
        (item,) = get_args(kind)
        return [_converted(item, each, name, skip_unknown) for each in value]
    if container is dict and isinstance(value, dict):
        item = get_args(kind)[1]
        return {key: _converted(item, each, name, skip_unknown) for key, each in value.items()}
    if container is None:
        return _single(kind, value, name, skip_unknown)
    raise ValueError(f"{name} cannot be {_shown(value)}")


def _single(kind: type, value: Any, name: str, skip_unknown: bool) -> Any:
    if is_dataclass(kind):
        return from_json(kind, value, skip_unknown=skip_unknown)
    if issubclass(kind, Enum) and isinstance(value, str):
        return kind(value)
    if (fits := _PLAIN.get(kind)) and fits(value):
        return value
    raise ValueError(f"{name} cannot be {_shown(value)}")


def _is_of_floats(kind: Any, value: Any) -> bool:
    """Ask of all numbers at once what is asked of each: they make most of a record."""
    if kind not in _OF_FLOATS or not isinstance(value, get_origin(kind)):
        return False
    numbers = value.values() if isinstance(value, dict) else value
    return set(map(type, numbers)) <= {float} and all(map(math.isfinite, numbers))


_OF_FLOATS = (list[float], list[float | None], dict[str, float], dict[str, float | None])


def _is_whole(value: object) -> bool:
    return type(value) is int and -_LARGEST_WHOLE <= value < _LARGEST_WHOLE


_PLAIN: dict[type, Callable[[object], bool]] = {
    str: lambda value: isinstance(value, str) and "\0" not in value,
    bool: lambda value: isinstance(value, bool),
    int: _is_whole,
    float: lambda value: _is_whole(value) or (type(value) is float and math.isfinite(value)),
}


def _shown(value: object) -> str:
    return reprlib.repr(value)
