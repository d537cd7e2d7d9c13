"""A run launched alone: the same run as a sweep's, with a bar and a table."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from gsnr_sweep.cli.standard_streams import paragraph
from gsnr_sweep.config.grid import GridPoint
from gsnr_sweep.config.schema import Config, run_name
from gsnr_sweep.errors import GsnrError, describe_exception
from gsnr_sweep.launcher.history import Decision
from gsnr_sweep.launcher.reuse import decide, read_history
from gsnr_sweep.launcher.secrecy import blot_out_passwords
from gsnr_sweep.preflight.check import CheckedPoint, check
from gsnr_sweep.preflight.plan_view import show_plan
from gsnr_sweep.records.record import RECORD_FILE, Measurement, RunRecord
from gsnr_sweep.records.state import Action
from gsnr_sweep.records.told import tell_folder
from gsnr_sweep.report.remarks import tell_remarks
from gsnr_sweep.runs.control import Attempt
from gsnr_sweep.runs.device import available_cores
from gsnr_sweep.runs.outcome import RunResult, RunStoppedError, run_result
from gsnr_sweep.runs.runner import run_point
from gsnr_sweep.terminal import TextConsole
from gsnr_sweep.tracking.background_export import exporting_run
from gsnr_sweep.tracking.exporter import Exporter
from gsnr_sweep.tracking.sync import send_again
from gsnr_sweep.tracking.uri import describe_tracking
from gsnr_sweep.wording import describe_epoch

_SHOWN = {
    "LHS (23)": "osgr_lhs",
    "RHS (24)": "osgr_rhs",
    "L[D]": "train_loss",
    "L[D']": "test_loss",
    "GSNR": "gsnr_mean",
    "same sign": "p_same_sign",
}


def task(cfg: DictConfig, attempt: Attempt | None = None) -> RunResult:
    """Run one grid point in this process and show how it goes.

    Args:
        cfg: The composed config.
        attempt: Not None where a launcher runs this; it then decides itself what to resume.
    """
    logging.raiseExceptions = False  # a log that cannot be written (full disk) is no news here
    console = TextConsole()
    hydra = HydraConfig.get()
    folder, launch_folder = Path(hydra.runtime.output_dir), Path(hydra.runtime.cwd)
    if hydra.output_subdir is not None:
        blot_out_passwords(folder / hydra.output_subdir)
    (point,) = check([GridPoint.of(cfg)])
    threads = point.cfg.threads or available_cores()
    decision = _decide(point, launch_folder, folder)
    tracking = describe_tracking(point.cfg.tracking, launch_folder)
    workers = f"this process, {threads} replica(s) side by side"
    console.print(show_plan([point], {}, workers, folder, tracking, reuse=decision.note))
    if name := point.cfg.preset.name:
        console.print(f"One point only: {name} is a grid; -m runs all of it.", style="yellow")
    if decision.action == Action.REUSE and (known := _known(decision)) is not None:
        _show(known, console)
        console.print("Reused; rerun=true runs it again.")
        tell_folder(Path(known.folder))
        count, problem = send_again([Path(known.folder)], launch_folder)
        if count:
            told = f"and still is ({problem})" if problem else "and is sent again, as a new run"
            console.print(f"It had been deleted in MLflow, {told}.", style="yellow", markup=False)
        return known
    if decision.action == Action.ELSEWHERE:
        note = f"this run is {decision.note}. rerun=true runs it all the same."
        sys.exit(f"gsnr-sweep: {paragraph(note)}")
    earlier = decision.earlier
    attempt = attempt or Attempt(resume_from=earlier.folder if earlier else None)
    try:
        with exporting_run(folder, launch_folder):
            result = _run(point.cfg, folder, attempt, console)
    finally:
        problem = Exporter(launch_folder).send(folder)
    tell_folder(Path(result.folder))
    _show(result, console, problem)
    tell_remarks([folder], console)
    return result


def _decide(point: CheckedPoint, launch_folder: Path, folder: Path) -> Decision:
    """Look whether this run is finished or half finished already."""
    if point.cfg.rerun:
        return Decision()
    history = read_history([point], launch_folder, folder)
    return decide(history, point.cfg)


def _known(decision: Decision) -> RunResult | None:
    earlier = decision.earlier
    return run_result(earlier.folder) if earlier and earlier.folder else None


def _run(cfg: Config, folder: Path, attempt: Attempt, console: Console) -> RunResult:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=28),
        TextColumn("epoch {task.completed:.0f} of {task.total:.0f}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with (
        Progress(
            *columns, console=console, disable=not console.is_terminal, transient=True
        ) as progress,
        _stopping_at_ctrl_c(attempt, console),
    ):
        bar = progress.add_task(run_name(cfg), total=max(cfg.epochs, 1))
        try:
            return run_point(cfg, folder, lambda t: progress.update(bar, completed=t), attempt)
        except RunStoppedError as error:
            _leave(f"{error} The same command goes on from here.", folder)
        except GsnrError as error:
            _leave(str(error), folder)
        except KeyboardInterrupt:
            _leave("stopped.", folder)
        except Exception as error:  # of a user's own code, or a fault of this package's
            _leave(f"{describe_exception(error)}. Where it was raised: {folder}/run.log.", folder)


def _leave(why: str, folder: Path) -> NoReturn:
    sys.exit(f"gsnr-sweep: {paragraph(f'{why} Measured so far: {folder}/{RECORD_FILE}')}")


@contextmanager
def _stopping_at_ctrl_c(attempt: Attempt, console: Console) -> Iterator[None]:
    """Stop after a checkpoint at the first Ctrl-C, at once at the second."""

    def stop(*_: object) -> None:
        if attempt.request.stopping:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # what is left to do takes a moment
            raise KeyboardInterrupt
        attempt.request.stop("Ctrl-C")
        console.print("Stopping after this epoch. Ctrl-C again stops at once.", style="yellow")

    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield  # not in the main thread, or somebody else's to handle
        return
    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is stop:
            signal.signal(signal.SIGINT, before)


def _show(result: RunResult, console: Console, problem: str = "") -> None:
    console.print(_results(result.record))
    if result.record.stopped_by:
        epochs = f"{result.record.summary['epochs_trained']:.0f} epochs"
        console.print(f"ended after {epochs}: {result.record.stopped_by}", markup=False)
    if problem:
        console.print(
            f"Not sent to MLflow ({problem}). When the store is back: python -m gsnr_sweep sync",
            style="yellow",
            markup=False,
        )
    console.print(f"record: {result.folder}/{RECORD_FILE}", markup=False, soft_wrap=True)


def _results(record: RunRecord) -> Table:
    """Show the headline measures by epoch, with standard errors where there are any."""
    table = Table(title=record.name, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("epoch", *_SHOWN):
        table.add_column(Text(title), justify="right", no_wrap=True)
    for measurement in record.measurements:
        cells = [_cell(measurement, name) for name in _SHOWN.values()]
        table.add_row(describe_epoch(measurement.epoch), *cells)
    return table


def _cell(measurement: Measurement, name: str) -> str:
    value, error = measurement.metrics.get(name), measurement.metrics.get(f"{name}_se")
    if value is None:
        return "–"
    return f"{value:.3g}" if error is None else f"{value:.3f} ± {error:.3f}"
