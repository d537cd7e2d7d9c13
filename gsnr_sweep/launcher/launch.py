"""One sweep from its list of runs to its aggregate."""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
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
from gsnr_sweep.config.program import command_line
from gsnr_sweep.config.schema import PresetConfig, TrackingConfig
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.launcher.history import History
from gsnr_sweep.launcher.job_context import JobContext
from gsnr_sweep.launcher.jobs import JobPool
from gsnr_sweep.launcher.monitor import Monitor, Outcome, last_lines
from gsnr_sweep.launcher.progress import SweepProgress
from gsnr_sweep.launcher.reuse import (
    axes_of,
    describe_reuse,
    has_jobs,
    name_runs,
    plan_rows,
    plan_runs,
    read_history,
)
from gsnr_sweep.launcher.settings import Settings
from gsnr_sweep.preflight.check import CheckedPoint, check
from gsnr_sweep.preflight.plan_view import show_plan, summarize
from gsnr_sweep.records.layout import search_roots
from gsnr_sweep.records.leases import close_killed, standing
from gsnr_sweep.records.manifest import SWEEP_FILE, Manifest
from gsnr_sweep.records.record import flatten
from gsnr_sweep.records.state import Action, State
from gsnr_sweep.records.status import read_status
from gsnr_sweep.report.pipeline import collect
from gsnr_sweep.runs.outcome import RunResult, run_result
from gsnr_sweep.tracking.background_export import exporting_sweep
from gsnr_sweep.tracking.exporter import Exporter
from gsnr_sweep.tracking.sweep_tracker import SweepTracker
from gsnr_sweep.tracking.sync import send_unsent
from gsnr_sweep.tracking.turns import LAUNCHER
from gsnr_sweep.tracking.uri import describe_tracking, tracking_uri

log = logging.getLogger(__name__)

_SECONDS_TO_STOP = 60.0
_LOG_LINES = 6
_CHATTER = "submitit INFO"


class SweepFailedError(GsnrError):
    """Some runs of a sweep failed; the others are complete."""


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
    _points: list[CheckedPoint] = field(default_factory=list)

    def launch(self, overrides: Sequence[Sequence[str]]) -> list[JobReturn]:
        """Run every grid point, show how it goes, and aggregate what came out.

        Args:
            overrides: Those of each grid point.

        Raises:
            GsnrError: A grid point cannot run; nothing was started.
            SweepFailedError: Some runs failed.
        """
        given = [filter_overrides(point) for point in overrides]
        self._points = check(points_of(self.context.config_loader, self.base, overrides))
        _refuse_a_busy_folder(self.folder)
        history = read_history(self._points, self._launch_folder, self.folder)
        manifest = self._plan(given, history)
        job_pool = JobPool(manifest, self.settings)
        self._show_plan(manifest, job_pool, axes_of(given))
        tracker = self._prepare(manifest, given, history)
        monitor = Monitor(
            manifest, job_pool.backend, job_pool.workers, job_pool.shared, job_pool.at_once
        )
        try:
            if self.settings.detach:
                return self._leave(manifest, job_pool, tracker)
            outcomes = self._follow(monitor, tracker)
        except SweepFailedError:
            raise
        except GsnrError:  # the jobs were not accepted
            if tracker is not None:
                tracker.finish("FAILED")
            raise
        self._report(manifest, outcomes, tracker)
        folders = [manifest.folder_of(run) for run in manifest.runs]
        return [
            _returned(point, folder, run_result(folder))
            for point, folder in zip(self._points, folders, strict=True)
        ]

    @cached_property
    def folder(self) -> Path:
        """Return the sweep's folder, of a later batch one of its own."""
        folder = Path(str(self.base.hydra.sweep.dir)).absolute()
        return folder / f"from-{self.first_index}" if self.first_index else folder

    @property
    def _launch_folder(self) -> Path:
        return Path(str(self.base.hydra.runtime.cwd))

    @property
    def _tracking(self) -> TrackingConfig:
        return self._points[0].cfg.tracking

    @property
    def _preset(self) -> PresetConfig:
        return self._points[0].cfg.preset

    def _plan(self, overrides: Sequence[Sequence[str]], history: History) -> Manifest:
        names = name_runs(self._points, overrides)
        now = datetime.now().strftime("%Y-%m-%d %H:%M:%S")
        tracked = self._tracking.name == "mlflow"
        return Manifest(
            id=uuid.uuid4().hex[:8],
            name=f"{self._preset.name or self._points[0].cfg.data.name} sweep {now}",
            folder=self.folder,
            command=command_line(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            backend=JobPool.place(self.settings),
            experiment=self._tracking.experiment,
            uri=tracking_uri(self._tracking, self._launch_folder) if tracked else "",
            launch_folder=str(self._launch_folder),
            max_retries=self.settings.max_retries,
            preset=asdict(self._preset),
            runs=plan_runs(self._points, names, history, self.folder, self.first_index),
        )

    def _show_plan(self, manifest: Manifest, job_pool: JobPool, axes: dict[str, list[str]]) -> None:
        roots = search_roots(self._launch_folder, self.folder)
        rows = plan_rows(self._points, manifest.runs, job_pool, roots)
        self.console.print(
            show_plan(
                self._points,
                axes,
                job_pool.describe(),
                _relative(self.folder),
                describe_tracking(self._tracking, self._launch_folder),
                estimated=summarize(rows, job_pool.side_by_side),
                reuse=describe_reuse(manifest.runs),
            )
        )

    def _prepare(
        self, manifest: Manifest, overrides: Sequence[Sequence[str]], history: History
    ) -> SweepTracker | None:
        """Write down everything that workers and later commands need."""
        tracker = self._start_tracking(manifest, overrides)
        if tracker is not None:
            manifest.parent_run_id, manifest.id = tracker.run_id, tracker.run_id[:8]
        self._close_killed(history)
        self.folder.mkdir(parents=True, exist_ok=True)
        manifest.stop_file.unlink(missing_ok=True)  # of an earlier sweep in this folder
        settings: dict[str, Any] = {"threads": self.settings.threads_per_worker}
        if tracker is not None:
            settings |= {"tracking.parent_run_id": tracker.run_id, "tracking.uri": manifest.uri}
        given = zip(manifest.runs, overrides, strict=True)
        indexed = {run.index: list(own) for run, own in given if run.action == Action.RUN}
        JobContext(
            self.context,
            self.task_function,
            self.base,
            indexed,
            str(self.folder),
            settings,
            Singleton.get_state(),
        ).write()
        path = manifest.write()
        if tracker is not None:
            tracker.log_file(path)
        return tracker

    def _close_killed(self, history: History) -> None:
        """Close, in MLflow too, the runs of earlier launches whose process died before it could."""
        killed = [run for runs in history.runs.values() for run in runs if run.folder is not None]
        folders = []
        for run in killed:
            assert run.folder is not None
            if run.state == State.KILLED and close_killed(run.folder, run.attempt):
                folders.append(run.folder)
        Exporter(self._launch_folder).send_all(folders)

    def _start_tracking(
        self, manifest: Manifest, overrides: Sequence[Sequence[str]]
    ) -> SweepTracker | None:
        if not manifest.uri:
            return None
        return SweepTracker.start(
            manifest.uri,
            manifest.experiment,
            manifest.name,
            _shared_params(self._points),
            {
                "gsnr.command": manifest.command,
                "gsnr.grid": str(axes_of(overrides)),
                "gsnr.runs": str(len(self._points)),
                "gsnr.folder": str(self.folder),
                "gsnr.preset": json.dumps(manifest.preset),
                "mlflow.note.content": f"`{manifest.command}`",
            },
        )

    def _leave(
        self, manifest: Manifest, job_pool: JobPool, tracker: SweepTracker | None
    ) -> list[JobReturn]:
        """Submit everything and return at once."""
        runs = manifest.to_run()
        if runs:
            manifest.jobs += job_pool.backend.submit(job_pool.workers(runs, job_pool.at_once))
            path = manifest.write()
            if tracker is not None:
                tracker.log_file(path)
        sweep = manifest.id
        self.console.print(
            f"Submitted as sweep {sweep}: {len(runs)} runs in {len(manifest.jobs)} jobs. Next:\n"
            f"  python -m gsnr_sweep status {sweep}    # how far it is (--watch: live)\n"
            f"  python -m gsnr_sweep collect {sweep}   # table, figure and coefficients so far\n"
            f"  python -m gsnr_sweep logs {sweep}      # what jobs and failed runs printed\n"
            f"  python -m gsnr_sweep cancel {sweep}    # stop it; the same command resumes",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        return [_returned(point, self.folder, None) for point in self._points]

    def _follow(self, monitor: Monitor, tracker: SweepTracker | None) -> list[Outcome]:
        manifest = monitor.manifest
        outcomes: list[Outcome] = []
        threading.Thread(target=_load_what_comes_last, daemon=True).start()
        progress = SweepProgress(manifest.to_run(), manifest.folder_of, self.console)
        with _ending_politely(), exporting_sweep(manifest, LAUNCHER) as export, progress:

            def look() -> None:
                progress.look()
                progress.warn_of_store(export.problem)

            try:
                for outcome in monitor.run(look):
                    outcomes.append(outcome)
                    progress.ended(outcome)
            except KeyboardInterrupt:
                _stop(monitor, progress)
            else:
                return outcomes
        if tracker is not None:
            self._send_the_rest(manifest)
            tracker.finish("KILLED")
        raise self._interrupted(manifest)

    def _interrupted(self, manifest: Manifest) -> SweepFailedError:
        folders = [manifest.folder_of(run) for run in manifest.runs]
        states = [status.state for folder in folders if (status := read_status(folder))]
        return SweepFailedError(
            f"Stopped with {states.count(State.FINISHED)} of {len(folders)} runs complete. "
            f"Everything measured is in {_relative(self.folder)}. The same command goes on from "
            "here: it reuses the complete runs and resumes the others from their checkpoints."
        )

    def _report(
        self, manifest: Manifest, outcomes: Sequence[Outcome], tracker: SweepTracker | None
    ) -> None:
        if tracker is not None:
            self._send_the_rest(manifest)
        failed = sorted((o for o in outcomes if o.error), key=lambda outcome: outcome.run.index)
        failed += _known_failures(manifest)
        if len(failed) < len(manifest.runs):
            collect(manifest, self.console)
        self._tell_what_others_do(manifest)
        if tracker is not None:
            tracker.finish("FAILED" if failed else "FINISHED")
        if failed:
            raise SweepFailedError(self._failures(failed, len(manifest.runs)))

    def _tell_what_others_do(self, manifest: Manifest) -> None:
        left = [run for run in manifest.runs if run.action == Action.ELSEWHERE]
        left = [run for run in left if standing(manifest.folder_of(run)).state != State.FINISHED]
        if left:
            self.console.print(
                f"{len(left)} run(s) are left to another launch that is still at them. The same "
                "command, once that is over, has them in its table.",
                style="yellow",
                markup=False,
            )

    def _send_the_rest(self, manifest: Manifest) -> None:
        unsent, problem = send_unsent(manifest, LAUNCHER)
        if unsent:
            self.console.print(
                f"{unsent} run(s) could not be sent to MLflow ({problem}). Their records are in "
                f"{_relative(self.folder)}; when the store is back, send them: "
                f"python -m gsnr_sweep sync {manifest.id}",
                style="yellow",
                markup=False,
            )

    def _failures(self, failed: Sequence[Outcome], total: int) -> str:
        lines = [
            f"{len(failed)} of {total} runs failed; the others are complete. "
            "The same command tries again what failed."
        ]
        for outcome in failed:
            logs = [path for path in (outcome.folder / "run.log", *outcome.logs) if path.is_file()]
            where = f"  (log: {_relative(logs[0])})" if logs else ""
            lines.append(f"  {outcome.run.name}: {outcome.error}{where}")
            if logs:
                told = [line for line in last_lines(logs[0]) if not line.startswith(_CHATTER)]
                lines += [f"      | {line}" for line in told[-_LOG_LINES:]]
        return "\n".join(lines)


@contextmanager
def _ending_politely() -> Iterator[None]:
    """Treat a request to end, as batch systems send it, like Ctrl-C."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _load_what_comes_last() -> None:
    """Import the aggregation's libraries while workers work: it takes seconds."""
    with contextlib.suppress(ImportError), loading_quickly():
        import gsnr_sweep.analysis.read_folder
        import gsnr_sweep.analysis.statistics  # noqa: F401


def _refuse_a_busy_folder(folder: Path) -> None:
    if (folder / SWEEP_FILE).is_file() and has_jobs(Manifest.read(folder)):
        raise GsnrError(
            f"hydra.sweep.dir={_relative(folder)}: a sweep in this folder still has jobs. Choose "
            f"another folder, or stop it first: python -m gsnr_sweep cancel {_relative(folder)}"
        )


def _known_failures(manifest: Manifest) -> list[Outcome]:
    """Return the runs that an earlier launch found to diverge."""
    found = []
    for run in manifest.runs:
        folder = manifest.folder_of(run)
        if run.action == Action.REUSE and run.folder and standing(folder).state == State.DIVERGED:
            found.append(Outcome(run, folder, State.DIVERGED, standing(folder).error))
    return found


def _stop(monitor: Monitor, progress: SweepProgress) -> None:
    """Stop cleanly, or at once if asked a second time."""
    progress.say("Stopping: runs write their checkpoints. Ctrl-C again stops at once.")
    try:
        monitor.stop(progress.look, _SECONDS_TO_STOP)
    except KeyboardInterrupt:
        monitor.kill()


def _shared_params(points: Sequence[CheckedPoint]) -> dict[str, Any]:
    """Return the parameters that all runs have in common."""
    flat = [flatten(asdict(point.cfg)) for point in points]
    return {
        key: value
        for key, value in flat[0].items()
        if not key.startswith("tracking.") and all(other.get(key) == value for other in flat)
    }


def _returned(point: CheckedPoint, folder: Path, result: RunResult | None) -> JobReturn:
    done = JobReturn()
    done.overrides = list(point.overrides)
    done.working_dir = str(folder)
    done.return_value = result
    done.status = JobStatus.COMPLETED
    return done


def _relative(path: Path) -> Path:
    """Shorten a path for people where it lies below the current folder."""
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path
