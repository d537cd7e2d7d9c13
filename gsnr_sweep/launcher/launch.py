"""One sweep from its list of runs to its aggregate."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, filter_overrides
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig
from rich.console import Console

from gsnr_sweep._startup import loading_quickly
from gsnr_sweep.config.grid import points_of
from gsnr_sweep.launcher.job_context import JobContext
from gsnr_sweep.launcher.jobs import JobPool
from gsnr_sweep.launcher.monitor import Monitor, Outcome
from gsnr_sweep.launcher.prepare import (
    close_killed_runs,
    open_tracking,
    plan_sweep,
    refuse_a_busy_folder,
    refuse_folders_of_others,
    send_reused_again,
    start_tracking,
)
from gsnr_sweep.launcher.progress import SweepProgress
from gsnr_sweep.launcher.reuse import axes_of, describe_reuse, plan_rows, read_history
from gsnr_sweep.launcher.secrecy import fit_to_be_seen
from gsnr_sweep.launcher.settings import Settings
from gsnr_sweep.launcher.summary import finish, interrupt, relative, say_that_it_is_submitted
from gsnr_sweep.preflight.check import CheckedPoint, check
from gsnr_sweep.preflight.plan_view import is_short, show_plan, summarize
from gsnr_sweep.records.layout import search_roots
from gsnr_sweep.records.manifest import Manifest
from gsnr_sweep.records.state import Action
from gsnr_sweep.records.told import tell_folder
from gsnr_sweep.runs.outcome import RunResult, run_result
from gsnr_sweep.tracking.background_export import exporting_sweep
from gsnr_sweep.tracking.sweep_tracker import SweepTracker
from gsnr_sweep.tracking.turns import LAUNCHER
from gsnr_sweep.tracking.uri import describe_tracking, without_passwords

_SECONDS_TO_STOP = 60.0
_INTERRUPTS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class Sweep:
    """What the runs of one launch have in common.

    Attributes:
        context: Hydra's loader and callbacks.
        task_function: What a run executes.
        base: The sweep's config, ``hydra`` part included.
        settings: Of the launcher.
        console: Where progress and results are shown.
        first_index: Hydra's number of the first run; more than 0 where a sweeper makes batches.
    """

    context: HydraContext
    task_function: TaskFunction
    base: DictConfig
    settings: Settings
    console: Console
    first_index: int = 0

    def launch(self, overrides: Sequence[Sequence[str]]) -> list[JobReturn]:
        """Run every grid point, show how it goes, and aggregate what came out.

        Args:
            overrides: Those of each grid point.

        Raises:
            GsnrError: A grid point cannot run; nothing was started.
            SweepFailedError: Some runs failed.
        """
        given = [filter_overrides(point) for point in overrides]
        points = check(points_of(self.context.config_loader, self.base, overrides))
        refuse_a_busy_folder(self.folder)
        launch_folder = Path(str(self.base.hydra.runtime.cwd))
        history = read_history(points, launch_folder, self.named_folder)
        manifest = plan_sweep(
            points, given, history, self.settings, self.folder, launch_folder, self.first_index
        )
        refuse_folders_of_others(manifest)
        job_pool = JobPool(manifest, self.settings)
        self._show_plan(points, given, manifest, job_pool)
        with _heeding_interrupts() as interrupts:
            store = open_tracking(manifest)  # which may wait for a server, and leaves nothing open
            tracker = None
            try:
                with interrupts.held():  # until it is known here, nobody could close it
                    tracker = start_tracking(store, manifest, points, given)
                close_killed_runs(history, launch_folder)
                send_reused_again(manifest, self.console)
                self._write(manifest, given, tracker)
                if self.settings.detach:
                    return self._leave(points, manifest, job_pool, tracker, interrupts)
                outcomes = self._follow(manifest, job_pool, interrupts)
                if outcomes is not None:
                    finish(manifest, outcomes, self.console)
                    if tracker is not None:
                        tracker.finish("FINISHED")
            except KeyboardInterrupt:
                outcomes = None
            except BaseException:
                if tracker is not None:
                    tracker.finish("FAILED")
                raise
            if outcomes is None:
                interrupt(manifest, tracker, self.console)
        folders = [manifest.folder_of(run) for run in manifest.runs]
        return [
            _returned(point, folder, run_result(folder))
            for point, folder in zip(points, folders, strict=True)
        ]

    @cached_property
    def folder(self) -> Path:
        """Return the sweep's folder, of a later batch one of its own."""
        folder = self.named_folder
        return folder / f"from-{self.first_index}" if self.first_index else folder

    @property
    def named_folder(self) -> Path:
        """Return the folder that all batches have in common."""
        return Path(str(self.base.hydra.sweep.dir)).absolute()

    def _show_plan(
        self,
        points: Sequence[CheckedPoint],
        overrides: Sequence[Sequence[str]],
        manifest: Manifest,
        job_pool: JobPool,
    ) -> None:
        launch_folder = Path(manifest.launch_folder)
        rows = plan_rows(
            points, manifest.runs, job_pool, search_roots(launch_folder, self.named_folder)
        )
        if is_short(rows, job_pool.side_by_side, job_pool.memory):
            job_pool.sharing_memory = job_pool.at_once
        self.console.print(
            show_plan(
                points,
                axes_of(overrides),
                job_pool.describe(),
                relative(self.folder),
                describe_tracking(points[0].cfg.tracking, launch_folder),
                estimated=summarize(rows, job_pool.side_by_side, job_pool.memory),
                reuse=describe_reuse(manifest.runs),
            )
        )

    def _write(
        self, manifest: Manifest, overrides: Sequence[Sequence[str]], tracker: SweepTracker | None
    ) -> None:
        """Write down everything that workers and later commands need."""
        self.folder.mkdir(parents=True, exist_ok=True)
        manifest.stop_file.unlink(missing_ok=True)  # of an earlier sweep in this folder
        settings: dict[str, Any] = {"threads": self.settings.threads_per_worker}
        if tracker is not None:
            settings |= {"tracking.parent_run_id": tracker.run_id, "tracking.uri": manifest.uri}
        given = zip(manifest.runs, overrides, strict=True)
        indexed = {
            run.index: without_passwords(list(own))
            for run, own in given
            if run.action == Action.RUN
        }
        JobContext(
            self.context,
            self.task_function,
            fit_to_be_seen(self.base),
            indexed,
            str(self.folder),
            settings,
            Singleton.get_state(),
        ).write()
        path = manifest.write()
        tell_folder(self.folder)
        if tracker is not None:
            tracker.log_file(path)

    def _leave(
        self,
        points: Sequence[CheckedPoint],
        manifest: Manifest,
        job_pool: JobPool,
        tracker: SweepTracker | None,
        interrupts: _Interrupts,
    ) -> list[JobReturn]:
        """Submit everything and return at once."""
        runs, backend = manifest.to_run(), job_pool.backend
        try:
            if runs:
                with interrupts.held():  # until they are known here, nobody could cancel them
                    manifest.jobs += backend.submit(job_pool.workers(runs, job_pool.at_once))
                path = manifest.write()
                if tracker is not None:
                    tracker.log_file(path)
            say_that_it_is_submitted(manifest, len(runs), self.console)
        except KeyboardInterrupt:
            backend.cancel(manifest.jobs)
            raise
        return [_returned(point, self.folder, None) for point in points]

    def _follow(
        self, manifest: Manifest, job_pool: JobPool, interrupts: _Interrupts
    ) -> list[Outcome] | None:
        """Follow the runs to their end; None if the user stopped them."""
        pool, held = job_pool, interrupts.held
        monitor = Monitor(manifest, pool.backend, pool.workers, pool.shared, pool.at_once, held)
        outcomes: list[Outcome] = []
        threading.Thread(target=_load_what_comes_last, daemon=True).start()
        progress = SweepProgress(manifest.to_run(), manifest.folder_of, self.console)
        with exporting_sweep(manifest, LAUNCHER) as export, progress:

            def look() -> None:
                progress.look()
                progress.warn_of_store(export.problem)

            try:
                for outcome in monitor.run(look):
                    outcomes.append(outcome)
                    progress.ended(outcome)
            except KeyboardInterrupt:
                _stop(monitor, progress, interrupts)
                return None
        return outcomes


class _Interrupts:
    """Ctrl-C, or a request to end as batch systems send it: heard where it can be acted on.

    Attributes:
        asked: How often it came.
        may_raise: Whether the next one raises KeyboardInterrupt; the others are counted only, so
            that none comes in the way of closing what is at work.
    """

    def __init__(self) -> None:
        self.asked = 0
        self.may_raise = True

    def __call__(self, *_: object) -> None:
        self.asked += 1
        if self.may_raise:
            self.may_raise = False
            raise KeyboardInterrupt

    @contextmanager
    def held(self) -> Iterator[None]:
        """Act on what comes in this block at its end, when all that it makes is known."""
        asked, may_raise = self.asked, self.may_raise
        self.may_raise = False
        try:
            yield
        finally:
            self.may_raise = may_raise
        if may_raise and self.asked > asked:
            self.may_raise = False
            raise KeyboardInterrupt


@contextmanager
def _heeding_interrupts() -> Iterator[_Interrupts]:
    interrupts = _Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield interrupts  # somebody else hears them
        return
    before = {number: signal.signal(number, interrupts) for number in _INTERRUPTS}
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            heard = interrupts.asked and number == signal.SIGINT
            signal.signal(number, signal.SIG_IGN if heard else handler)


def _load_what_comes_last() -> None:
    """Import the aggregation's libraries while workers work: it takes seconds."""
    with contextlib.suppress(ImportError), loading_quickly():
        import gsnr_sweep.analysis.read_folder
        import gsnr_sweep.analysis.statistics
        import gsnr_sweep.papers.liu2020.figures.lhs_rhs  # noqa: F401 - Matplotlib and seaborn


def _stop(monitor: Monitor, progress: SweepProgress, interrupts: _Interrupts) -> None:
    """Stop cleanly, or at once if asked a second time."""
    progress.say("Stopping: runs write their checkpoints. Ctrl-C again stops at once.")
    try:
        interrupts.may_raise = True
        if interrupts.asked > 1:
            raise KeyboardInterrupt
        monitor.stop(progress.look, _SECONDS_TO_STOP)
    except KeyboardInterrupt:
        interrupts.may_raise = False
        monitor.kill()
    finally:
        interrupts.may_raise = False


def _returned(point: CheckedPoint, folder: Path, result: RunResult | None) -> JobReturn:
    done = JobReturn()
    done.overrides = list(point.overrides)
    done.working_dir = str(folder)
    done.return_value = result
    done.status = JobStatus.COMPLETED
    return done
