"""Measures by name, from the config to their values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.user_code import UserCodeError, call, load

if TYPE_CHECKING:
    from gsnr_sweep.measures.complexity.settings import ComplexityConfig
    from gsnr_sweep.measures.trained_network import NetworkMeasure
    from gsnr_sweep.training.snapshot import Snapshot

    Value = float | list[float]
    Measure = Callable[[Snapshot], Mapping[str, Value]]
else:
    Measure = Callable[..., dict[str, float]]


def load_measures(
    functions: dict[str, str], settings: ComplexityConfig | None = None
) -> dict[str, Measure]:
    """Import the functions that a config names.

    Args:
        functions: Dotted paths by measure name.
        settings: Of those that are measures of trained networks; None for the usual ones.

    Returns:
        Functions of a snapshot by measure name.

    Raises:
        GsnrError: One cannot be imported or is no function.
    """
    from gsnr_sweep.measures.complexity.settings import ComplexityConfig
    from gsnr_sweep.measures.trained_network import Look, NetworkMeasure  # which imports PyTorch

    loaded = {name: _load(name, path) for name, path in functions.items()}
    of_networks = {n: each for n, each in loaded.items() if isinstance(each, NetworkMeasure)}
    look = Look(of_networks, settings or ComplexityConfig())
    return {n: look.bound(n) if n in of_networks else each for n, each in loaded.items()}


def network_measures(loaded: Mapping[str, Any]) -> dict[str, NetworkMeasure]:
    """Return the measures of trained networks among loaded ones, by name."""
    from gsnr_sweep.measures.trained_network import OfReplicas

    return {name: each.measure for name, each in loaded.items() if isinstance(each, OfReplicas)}


def _load(name: str, path: str) -> Any:
    where = f"measures.functions.{name}={path}"
    found = load(
        where,
        path,
        "Give the dotted path of a function that takes a Snapshot, or of one marked with "
        "@of_network, and returns values by metric name.",
    )
    if not callable(found):
        raise GsnrError(f"{where}: this is no function.")
    return found


def measure_all(measures: dict[str, Measure], snapshot: Snapshot) -> dict[str, Value]:
    """Apply all measures to one snapshot.

    Returns:
        Values by metric name: numbers, or lists of them.

    Raises:
        GsnrError: A measure fails or returns something else.
        ValueError: Two measures return the same metric name.
    """
    values: dict[str, Value] = {}
    for name, measure in measures.items():
        where = f"measures.functions.{name}"
        try:
            found = checked_values(where, call(where, measure, snapshot))
        except UserCodeError as error:
            raise UserCodeError(f"{where}: it fails ({error}).") from error.__cause__
        twice = values.keys() & found.keys()
        if twice:
            raise ValueError(f"measure {name} returns {sorted(twice)}, which another one has too")
        values.update(found)
    return values


def checked_values(where: str, returned: Any) -> Mapping[str, Value]:
    """Return what a measure returned, if that is values by metric name.

    Args:
        where: Key that names the measure.
        returned: Anything.

    Raises:
        GsnrError: It is something else.
    """
    if not isinstance(returned, Mapping):
        raise GsnrError(
            f"{where}: it returned {_kind(returned)}; a dictionary of values by metric name is "
            "needed, such as {'noise_scale': 0.5}."
        )
    found = dict(returned)
    for metric, value in found.items():
        if not isinstance(metric, str):
            raise GsnrError(
                f"{where}: the metric name {metric!r} is of type {type(metric).__name__}; a text "
                "is needed."
            )
        for problem in _value_problems(value):
            raise GsnrError(f"{where}: metric {metric!r} {problem}.")
    return found


_ALLOWED = "a float, an int, or a list of floats is needed"


def _value_problems(value: Any) -> Iterator[str]:
    if not isinstance(value, list):
        if not _is_number(value):
            yield f"is of type {type(value).__name__}{_shape(value)}; {_ALLOWED}{_advice(value)}"
        elif _is_too_large(value):
            yield f"is a whole number beyond the largest float; {_ALLOWED}"
        return
    for i, item in enumerate(value):
        if not isinstance(item, Real):
            yield f"is a list whose item {i} is of type {type(item).__name__}; {_ALLOWED}"
        elif _is_too_large(item):
            yield f"is a list whose item {i} is a whole number beyond the largest float; {_ALLOWED}"


def _is_number(value: Any) -> bool:
    """Tell whether a record can hold it as one number: a tensor or array may be one."""
    if isinstance(value, Real):
        return True
    if getattr(value, "ndim", None) != 0 or "complex" in str(getattr(value, "dtype", "")):
        return False
    try:
        float(value)
    except (TypeError, ValueError, RuntimeError):
        return False
    return True


def _is_too_large(value: Any) -> bool:
    try:
        float(value)
    except OverflowError:
        return True
    return False


def _shape(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return f" and of shape {tuple(shape)}" if shape is not None else ""


def _advice(value: Any) -> str:
    return ", as its .tolist() makes" if getattr(value, "ndim", None) == 1 else ""


def _kind(value: object) -> str:
    return "None" if value is None else f"a value of type {type(value).__name__}"
