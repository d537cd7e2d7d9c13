"""From the command line to Hydra: check everything first, then let it run."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import hydra
from omegaconf import OmegaConf

from gsnr_sweep.config import launcher_problems
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.grid import VERSION_BASE, CommandLine, expand
from gsnr_sweep.help import help_text


def main(config_dir: Path, arguments: Sequence[str] | None = None) -> None:
    """Run ``launch.py``.

    Args:
        config_dir: Folder of the configs.
        arguments: Command line; None for this process's own.

    Raises:
        SystemExit: With 1 for a mistake in the command line or a failed run.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    sys.path.append(str(Path.cwd()))  # where a user's own models and measures may lie
    OmegaConf.register_new_resolver("gsnr_help", lambda: help_text(config_dir), replace=True)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    try:
        command = CommandLine.parse(arguments, config_dir)
        if command.informative:
            if command.prints_config:
                expand(command)
            _hand_to_hydra(_not_called, config_dir, command.arguments)
            return
        _check(command)
    except GsnrError as error:
        sys.exit(f"gsnr-sweep: {error}")
    if command.multirun:
        from gsnr_sweep.run import task
    else:
        from gsnr_sweep.single import task
    _hand_to_hydra(task, config_dir, command.arguments)


def _check(command: CommandLine) -> None:
    """Check the whole grid and fetch its data, before Hydra creates any folder."""
    from gsnr_sweep.preflight import check, prepare
    from gsnr_sweep.tracking import open_store, tracking_uri

    grid = expand(command)
    if wrong := launcher_problems(grid.launcher or {}):
        raise GsnrError("\n".join(wrong))
    points = check(grid.points)
    stores = {
        (tracking_uri(point.cfg.tracking, Path.cwd()), point.cfg.tracking.experiment)
        for point in points
        if point.cfg.tracking.name == "mlflow"
    }
    prepare(points)
    for uri, experiment in sorted(stores):
        open_store(uri, experiment)


def _hand_to_hydra(
    task: hydra.types.TaskFunction, config_dir: Path, arguments: Sequence[str]
) -> None:
    sys.argv = [sys.argv[0], *arguments]
    hydra.main(version_base=VERSION_BASE, config_path=str(config_dir), config_name="config")(task)()


def _not_called(_: object) -> None:
    """Stand in for the task where Hydra only prints something."""
