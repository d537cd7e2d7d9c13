"""Measures by name, from the config to their values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from gsnr_sweep.errors import GsnrError, describe_exception, resolve_name

if TYPE_CHECKING:
    from gsnr_sweep.training.snapshot import Snapshot

    Value = float | list[float]
    Measure = Callable[[Snapshot], Mapping[str, Value]]
else:
    Measure = Callable[..., dict[str, float]]


def load_measures(functions: dict[str, str]) -> dict[str, Measure]:
    """Import the functions that a config names.

    Args:
        functions: Dotted paths by measure name.

    Raises:
        GsnrError: One cannot be imported or is no function.
    """
    return {name: _load(name, path) for name, path in functions.items()}


def _load(name: str, path: str) -> Any:
    try:
        found = resolve_name(path)
    except Exception as error:
        raise GsnrError(
            f"measures.functions.{name}={path}: it cannot be imported "
            f"({describe_exception(error)}). Give the dotted path of a function "
            "that takes a Snapshot and returns values by metric name."
        ) from None
    if not callable(found):
        raise GsnrError(f"measures.functions.{name}={path}: this is no function.")
    return found


def measure_all(measures: dict[str, Measure], snapshot: Snapshot) -> dict[str, Value]:
    """Apply all measures to one snapshot.

    Returns:
        Values by metric name: numbers, or lists of them.

    Raises:
        ValueError: Two measures return the same metric name.
    """
    values: dict[str, Value] = {}
    for name, measure in measures.items():
        found = measure(snapshot)
        twice = values.keys() & found.keys()
        if twice:
            raise ValueError(f"measure {name} returns {sorted(twice)}, which another one has too")
        values.update(found)
    return values
