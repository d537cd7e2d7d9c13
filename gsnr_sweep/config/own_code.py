"""Which code of the user's a config names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gsnr_sweep.user_code import is_ours


def own_code(config: Mapping[str, Any]) -> list[str]:
    """Return key and value of everything that is neither in the package nor in PyTorch.

    Args:
        config: A run's config as plain containers.
    """
    rooms = ("data", "model", "optim", "loss")
    named = [(f"{room}._target_", config.get(room, {}).get("_target_")) for room in rooms]
    named.append(("optim.schedule", config.get("optim", {}).get("schedule")))
    preset, measures = config.get("preset", {}), config.get("measures", {})
    named += [("preset.figures", name) for name in preset.get("figures", [])]
    named += [("preset.claims", path) for path in preset.get("claims", [])]
    functions = measures.get("functions", {}).items()
    named += [(f"measures.functions.{name}", path) for name, path in functions]
    return [f"{key}={path}" for key, path in named if path and is_own(path)]


def is_own(path: str) -> bool:
    """Tell whether a dotted path names code of the user's; names without a dot are built in."""
    return "." in path and not is_ours(path) and not path.startswith("torch.")
