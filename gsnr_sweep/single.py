"""A run launched alone: the same run as a sweep's, with a bar and a table."""

from __future__ import annotations

import sys
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from gsnr_sweep import config
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.grid import GridPoint
from gsnr_sweep.launcher.sweep import describe_tracking
from gsnr_sweep.plan import show_plan
from gsnr_sweep.preflight import check
from gsnr_sweep.record import RECORD_FILE, Measurement, RunRecord
from gsnr_sweep.run import RunResult, available_cores, run_point

_SHOWN = {
    "LHS (23)": "osgr_lhs",
    "RHS (24)": "osgr_rhs",
    "L[D]": "train_loss",
    "L[D']": "test_loss",
    "GSNR": "gsnr_mean",
    "same sign": "p_same_sign",
}


def task(cfg: DictConfig) -> RunResult:
    """Run one grid point in this process and show how it goes."""
    console = Console()
    hydra = HydraConfig.get()
    folder, launch_folder = Path(hydra.runtime.output_dir), Path(hydra.runtime.cwd)
    (point,) = check([GridPoint("", cfg)])
    threads = point.cfg.threads or available_cores()
    tracking = describe_tracking(point.cfg.tracking, launch_folder)
    workers = f"this process, {threads} replica(s) side by side"
    console.print(show_plan([point], {}, workers, folder, tracking))
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=28),
        TextColumn("epoch {task.completed:.0f} of {task.total:.0f}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, disable=not console.is_terminal, transient=True
    ) as progress:
        bar = progress.add_task(config.run_name(point.cfg), total=max(point.cfg.epochs, 1))
        try:
            result = run_point(
                point.cfg, folder, launch_folder, lambda t: progress.update(bar, completed=t)
            )
        except GsnrError as error:
            sys.exit(f"gsnr-sweep: {error} Measured so far: {folder}/{RECORD_FILE}")
        except KeyboardInterrupt:
            sys.exit(f"gsnr-sweep: stopped. Measured so far: {folder}/{RECORD_FILE}")
    console.print(_results(result.record))
    if result.untracked and point.cfg.tracking.name == "mlflow":
        console.print(f"Not sent to MLflow ({result.untracked}).", style="yellow", markup=False)
    console.print(f"record: {folder}/{RECORD_FILE}", markup=False, soft_wrap=True)
    return result


def _results(record: RunRecord) -> Table:
    """Show the headline measures by epoch, with standard errors where there are any."""
    table = Table(title=record.name, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("epoch", *_SHOWN):
        table.add_column(Text(title), justify="right", no_wrap=True)
    for measurement in record.measurements:
        cells = [_cell(measurement, name) for name in _SHOWN.values()]
        table.add_row(str(measurement.epoch), *cells)
    return table


def _cell(measurement: Measurement, name: str) -> str:
    value, error = measurement.metrics.get(name), measurement.metrics.get(f"{name}_se")
    if value is None:
        return "–"
    return f"{value:.3g}" if error is None else f"{value:.3f} ± {error:.3f}"
