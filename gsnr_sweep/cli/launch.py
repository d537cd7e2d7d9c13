"""From the command line to Hydra: check everything first, then let it run."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from hydra.core.plugins import Plugins
from hydra.errors import CompactHydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gsnr_sweep._startup import load_torch_library, loading_quickly
from gsnr_sweep.cli.guard import go_on_guarded
from gsnr_sweep.cli.help import help_text
from gsnr_sweep.cli.interrupts import closing_at_ctrl_c
from gsnr_sweep.cli.output_folder import judge_folder
from gsnr_sweep.cli.standard_streams import paragraph, prepare_output
from gsnr_sweep.cli.working_folder import search_working_folder
from gsnr_sweep.config.grid import VERSION_BASE, CommandLine, Grid, expand
from gsnr_sweep.config.own_code import own_code
from gsnr_sweep.config.schema import LAUNCH_KEYS, TrackingConfig
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.tracking.uri import apply_mlflow_settings

if TYPE_CHECKING:
    from gsnr_sweep.preflight.check import CheckedPoint
    from gsnr_sweep.runs.outcome import RunResult

_OF_FILES = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO),
    *(errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG),
)
_TRACES = "HYDRA_FULL_ERROR"
_OTHER_LAUNCHER = (
    "gsnr-sweep: the launcher {target} only starts runs: all of them are computed again, nothing "
    "shows how they go, and no table, figure or page is made. hydra/launcher=local does all that."
)


def main(
    config_dir: Path, arguments: Sequence[str] | None = None, *, guarded: bool = False
) -> None:
    """Run ``launch.py``.

    Args:
        config_dir: Folder of the configs.
        arguments: Command line; None for this process's own.
        guarded: Whether a launch with code of the user's goes on in a fork of this process, so that
            what ends it without a word is said.

    Raises:
        SystemExit: With 1 for a mistake in the command line or a failed run.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    prepare_output()
    try:
        search_working_folder()
        apply_mlflow_settings()
        command = CommandLine.parse(arguments, config_dir)
        if command.informative:
            if command.prints_config:
                expand(command)
            _prepare_help(command)
            _hand_to_hydra(_not_called, config_dir, command.arguments)
            return
        with loading_quickly():
            to_launch = _checked(command, guarded)
        if not to_launch:
            return
    except GsnrError as error:
        sys.exit(f"gsnr-sweep: {paragraph(str(error))}")
    closing_at_ctrl_c()
    _hand_to_hydra(_task(command.multirun), config_dir, command.arguments)


def _prepare_help(command: CommandLine) -> None:
    """Have the help page at hand for Hydra, which composes a config to find it."""
    text = help_text(command.folders(), command.config_name)
    template = text.replace("$", "$$")
    OmegaConf.register_new_resolver("gsnr_help", lambda: template, replace=True)


def _task(multirun: bool) -> hydra.types.TaskFunction:
    if multirun:
        from gsnr_sweep.runs import runner

        return runner.task
    return _single_run


def _single_run(cfg: DictConfig) -> RunResult:
    """Run one grid point; what users can mend is printed by Hydra as one message, without a trace.

    Raises:
        CompactHydraException: The run failed for a reason that a `GsnrError` gives.
    """
    from gsnr_sweep.cli import single_run

    try:
        return single_run.task(cfg)
    except GsnrError as error:
        raise CompactHydraException(str(error)) from error


def _checked(command: CommandLine, guarded: bool) -> bool:
    """Check the whole grid and fetch its data, before Hydra creates any folder.

    Returns:
        Whether to launch: False for a dry run, which is over now.
    """
    from gsnr_sweep.config.identity import run_identity
    from gsnr_sweep.launcher.settings import is_ours
    from gsnr_sweep.launcher.settings_check import launcher_problems
    from gsnr_sweep.preflight.check import check, prepare
    from gsnr_sweep.records.status import other_run, taken_folder
    from gsnr_sweep.tracking.uri import tell_store, tracking_uri

    library = load_torch_library()
    grid = expand(command)
    if guarded and any(own_code(asdict(point.cfg)) for point in grid.points if point.cfg):
        library.join()
        go_on_guarded()
    if swept := [key for key in LAUNCH_KEYS if key in grid.axes]:
        raise GsnrError(f"{swept[0]} holds for a whole launch: give it one value.")
    if wrong := launcher_problems(grid.launcher or {}):
        raise GsnrError("\n".join(wrong))
    _judge_folder(grid)
    if grid.launcher is not None and not is_ours(grid.launcher):
        print(_OTHER_LAUNCHER.format(target=grid.launcher._target_), file=sys.stderr)
    first = grid.points[0].cfg
    if first is not None and first.dry_run:
        _show(grid, first.tracking)
        return False
    if first is not None and first.tracking.name == "mlflow":
        tell_store(tracking_uri(first.tracking, Path.cwd()))
    points = check(grid.points)
    _check_weights_here(grid, points)
    if grid.run_dir and (other := other_run(Path(grid.run_dir), run_identity(points[0].cfg))):
        raise GsnrError(taken_folder(Path(grid.run_dir), other))
    stores = {
        (tracking_uri(point.cfg.tracking, Path.cwd()), point.cfg.tracking.experiment)
        for point in points
        if point.cfg.tracking.name == "mlflow"
    }
    prepare(points)
    from gsnr_sweep.tracking.store import open_store  # imports MLflow, which a dry run need not

    for uri, experiment in sorted(stores):
        open_store(uri, experiment)
    return True


def _check_weights_here(grid: Grid, points: Sequence[CheckedPoint]) -> None:
    """Refuse networks that this machine cannot measure, where runs are not sent to others."""
    from gsnr_sweep.launcher.settings import place_of
    from gsnr_sweep.preflight.size_check import check_weights

    if place_of(grid.launcher or {}) == "local":
        for point in points:
            check_weights(point.cfg.ch, point.n_parameters, here=True)


def _judge_folder(grid: Grid) -> None:
    if grid.sweep_dir:
        judge_folder(Path(grid.sweep_dir), "hydra.sweep.dir", sweep=True)
    elif grid.run_dir:
        judge_folder(Path(grid.run_dir), "hydra.run.dir", sweep=False)


def _show(grid: Grid, tracking: TrackingConfig) -> None:
    """Check a grid and show what a launch would do."""
    from gsnr_sweep.tracking.background_query import looking_up

    here = Path.cwd()
    with looking_up(tracking, here) as look_up:  # before PyTorch is imported, which takes as long
        from gsnr_sweep.launcher.dry_run import show_dry_run
        from gsnr_sweep.preflight.check import check
        from gsnr_sweep.terminal import TextConsole

        points = check(grid.points)
        folder = (here / (grid.sweep_dir or "outputs/dry/run")).absolute()
        show_dry_run(points, grid.launcher, here, folder, TextConsole(), look_up)


def _hand_to_hydra(
    task: hydra.types.TaskFunction, config_dir: Path, arguments: Sequence[str]
) -> None:
    """Let Hydra do what was asked of it.

    Hydra prints a trace where the disk is full, or its folder gone, under the configs that it
    writes. So it is told to raise, and what it raises is said here.
    """
    sys.argv = [sys.argv[0], *arguments]
    _register_plugins()
    main = hydra.main(version_base=VERSION_BASE, config_path=str(config_dir), config_name="config")
    traces_wanted = os.environ.get(_TRACES) == "1"
    os.environ[_TRACES] = "1"
    try:
        main(task)()
    except (CompactHydraException, OSError) as error:
        if traces_wanted or (isinstance(error, OSError) and error.errno not in _OF_FILES):
            raise
        if isinstance(error, CompactHydraException):
            cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else ""
            sys.exit(f"{error}\n{cause}".strip())
        what = error.filename or "A file in the output folder"
        told = f"{what} cannot be written ({error.strerror or error})."
        advice = "Free some space or make the folder writable, and start the same command again."
        sys.exit(f"gsnr-sweep: {paragraph(f'{told} {advice}')}")
    finally:
        if not traces_wanted:
            del os.environ[_TRACES]


def _register_plugins() -> None:
    """Make launchers and sweeper known to Hydra.

    It looks through the folders of the namespace ``hydra_plugins``. Of an editable installation it
    finds none there: Python then finds the modules by their names, not by folders.
    """
    from hydra_plugins.gsnr_launcher.grid_sweeper import GridSweeper
    from hydra_plugins.gsnr_launcher.launchers import LocalLauncher, SlurmLauncher

    for plugin in (GridSweeper, LocalLauncher, SlurmLauncher):
        Plugins.instance().register(plugin)


def _not_called(_: object) -> None:
    """Stand in for the task where Hydra only prints something."""
