"""Which code of the user's a config names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gsnr_sweep.user_code import is_ours


def own_code(config: Mapping[str, Any]) -> list[str]:
    """Return key and value of everything that is not in the package.

    Args:
        config: A run's config as plain containers.
    """
    named = {f"{room}._target_": config.get(room, {}).get("_target_") for room in ("data", "model")}
    preset, measures = config.get("preset", {}), config.get("measures", {})
    own = [(key, path) for key, path in named.items() if path]
    own += [("preset.figures", name) for name in preset.get("figures", []) if "." in name]
    own += [("preset.claims", path) for path in preset.get("claims", [])]
    functions = measures.get("functions", {}).items()
    own += [(f"measures.functions.{name}", path) for name, path in functions]
    return [f"{key}={path}" for key, path in own if not is_ours(path)]
