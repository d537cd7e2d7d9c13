"""Configs on their way to disk, without the passwords that tracking URIs may hold."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf, flag_override

from gsnr_sweep.tracking.uri import without_password


def fit_to_be_seen(cfg: DictConfig) -> DictConfig:
    """Return a copy of a config with user and password blotted out of every URI."""
    seen = copy.deepcopy(cfg)
    _blot(seen)
    return seen


def blot_out_passwords(folder: Path) -> None:
    """Blot them out of the configs that Hydra has written into a folder."""
    for path in folder.glob("*.yaml"):
        before = path.read_text()
        if "://" not in before:
            continue
        cfg: Any = OmegaConf.load(path)
        _blot(cfg)
        if (after := OmegaConf.to_yaml(cfg)) != before:
            path.write_text(after)


def _blot(node: DictConfig | ListConfig) -> None:
    places: list[Any] = list(node) if isinstance(node, DictConfig) else list(range(len(node)))
    for place in places:
        if OmegaConf.is_missing(node, place) or OmegaConf.is_interpolation(node, place):
            continue
        value = node[place]
        if isinstance(value, DictConfig | ListConfig):
            _blot(value)
        elif isinstance(value, str) and (seen := without_password(value)) != value:
            with flag_override(node, ["readonly", "struct"], [False, False]):
                node[place] = seen
