"""Values that can be set on a typed config one by one, typed as a whole config's would be.

Typing a whole config takes milliseconds, which a grid of thousands of points would feel. A key that
holds a single value (or a list of them) does not depend on other keys, so that each of its values
needs typing only once.
"""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from typing import Any, get_origin, get_type_hints

from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gsnr_sweep.config.schema import Config, DataConfig

NOT_POSSIBLE: Any = object()


def single_value_keys(data: type[DataConfig]) -> dict[str, Any]:
    """Return the dotted keys that hold a single value or a list of them, with their types.

    Args:
        data: Dataclass of the config's ``data`` section. Its name is not among the keys, since that
            decides which other keys there are.
    """
    found: dict[str, Any] = {}
    for name, hint in get_type_hints(Config).items():
        section = data if name == "data" else hint
        if dataclasses.is_dataclass(section):
            inner = get_type_hints(section).items()
            found |= {f"{name}.{key}": inner_hint for key, inner_hint in inner}
        else:
            found[name] = hint
    return {
        key: hint
        for key, hint in found.items()
        if key != "data.name" and not _may_hold_a_mapping(hint)
    }


def _may_hold_a_mapping(hint: Any) -> bool:
    return hint is Any or get_origin(hint) is dict or dataclasses.is_dataclass(hint)


def is_single_value(value: object) -> bool:
    """Tell whether a value can be typed by itself: it is there and refers to nothing else."""
    if isinstance(value, list):
        return all(is_single_value(item) and not isinstance(item, list) for item in value)
    if isinstance(value, str):
        return "${" not in value and value != MISSING
    return value is None or isinstance(value, bool | int | float)


def converted(hint: Any, value: object) -> Any:
    """Return the value as a typed config holds it, or NOT_POSSIBLE if it is of another type."""
    try:
        merged = OmegaConf.merge(_config_of_one(hint), {"value": value})
        return OmegaConf.to_container(merged)["value"]  # type: ignore[index, call-overload]
    except OmegaConfBaseException:
        return NOT_POSSIBLE


@lru_cache
def _config_of_one(hint: Any) -> DictConfig:
    field = ("value", hint, dataclasses.field(default=MISSING))
    schema = OmegaConf.structured(dataclasses.make_dataclass("One", [field]))
    assert isinstance(schema, DictConfig)
    return schema
