"""Settings of a network (group ``model``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gsnr_sweep.settings import key, names


@dataclass
class ModelConfig:
    """A network (group ``model``)."""

    name: str = key("the model's name")
    _target_: str = key("the torch.nn.Module to build, as a dotted path")
    init: str = key(
        "initial weights: torch (PyTorch's default), he (He-normal), small (N(0, 0.1²))"
    )
    args: dict[str, Any] = key("further arguments of the module's constructor")
    frozen: list[str] = names("layers or parameters that are not trained, such as [fc1]")
