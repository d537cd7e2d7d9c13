"""Where the tool's own configs lie."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def config_folder() -> Path:
    """The folder of the configs: within the installed package, else at the checkout's top."""
    installed = _PACKAGE / "conf"
    return installed if installed.is_dir() else _PACKAGE.parent / "conf"
