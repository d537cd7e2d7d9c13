"""``dry_run=true``: what a launch would do and what it would cost, without doing any of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.launcher.jobs import JobPool
from gsnr_sweep.launcher.reuse import (
    axes_of,
    describe_reuse,
    name_runs,
    plan_rows,
    plan_runs,
    read_history,
)
from gsnr_sweep.launcher.settings import LocalSettings, Settings, is_ours, read_settings
from gsnr_sweep.preflight.check import CheckedPoint
from gsnr_sweep.preflight.plan_view import show_plan, show_table
from gsnr_sweep.records.layout import search_roots
from gsnr_sweep.records.manifest import Manifest
from gsnr_sweep.terminal import TextConsole
from gsnr_sweep.tracking.background_query import LookUp
from gsnr_sweep.tracking.uri import describe_tracking


def show_dry_run(
    points: Sequence[CheckedPoint],
    launcher: Mapping[str, Any] | None,
    launch_folder: Path,
    sweep_dir: Path,
    console: Console,
    look_up: LookUp | None = None,
) -> None:
    """Print the grid with what would become of each point; launch and write nothing.

    Args:
        points: The checked grid.
        launcher: Settings of ``hydra/launcher``; None for a single run.
        launch_folder: Where the launch would happen.
        sweep_dir: Folder that the sweep would have.
        console: Where to print.
        look_up: What looks into the tracking store already; None to open it here.
    """
    console = TextConsole.like(console)
    settings = _settings(launcher)
    overrides = [point.overrides for point in points]
    axes = axes_of(overrides)
    history = read_history(points, launch_folder, sweep_dir, look_up)
    runs = plan_runs(points, name_runs(points, overrides), history, sweep_dir)
    job_pool = JobPool(Manifest("", "", sweep_dir, runs=runs), settings)
    rows = plan_rows(points, runs, job_pool, search_roots(launch_folder, sweep_dir))
    tracking = describe_tracking(points[0].cfg.tracking, launch_folder)
    reuse = describe_reuse(runs)
    console.print(show_plan(points, axes, job_pool.describe(), sweep_dir, tracking, reuse=reuse))
    console.print(show_table(rows, job_pool.side_by_side, job_pool.memory))
    console.print(Text("dry_run=true: nothing was launched, nothing was written.", "bold"))


def _settings(launcher: Mapping[str, Any] | None) -> Settings:
    if launcher is None:
        return LocalSettings(workers=1)
    if not is_ours(launcher):
        raise GsnrError(
            "dry_run=true knows the launchers local and slurm; this one is another: "
            f"{launcher.get('_target_')}."
        )
    return read_settings(launcher)
