"""Measures by name, from the config to their values."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hydra.utils import get_method

from gsnr_sweep.errors import GsnrError

if TYPE_CHECKING:
    from gsnr_sweep.ensemble.snapshot import Snapshot

    Measure = Callable[[Snapshot], dict[str, float]]
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
        return get_method(path)
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise GsnrError(
            f"measures.functions.{name}={path}: it cannot be imported ({reason}). Give the dotted "
            "path of a function that takes a Snapshot and returns values by metric name."
        ) from None


def measure_all(measures: dict[str, Measure], snapshot: Snapshot) -> dict[str, float]:
    """Apply all measures to one snapshot.

    Returns:
        Values by metric name.

    Raises:
        ValueError: Two measures return the same metric name.
    """
    values: dict[str, float] = {}
    for name, measure in measures.items():
        found = measure(snapshot)
        twice = values.keys() & found.keys()
        if twice:
            raise ValueError(f"measure {name} returns {sorted(twice)}, which another one has too")
        values.update(found)
    return values
