"""One sweep from its list of runs to its aggregate."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import cloudpickle
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, filter_overrides
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict
from rich.console import Console

from gsnr_sweep import config
from gsnr_sweep.config import TrackingConfig
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.grid import GridPoint
from gsnr_sweep.launcher.backend import Backend, Job, Outcome
from gsnr_sweep.launcher.progress import SweepProgress
from gsnr_sweep.launcher.worker import Assignment
from gsnr_sweep.locate import reason
from gsnr_sweep.plan import show_plan
from gsnr_sweep.preflight import CheckedPoint, check
from gsnr_sweep.record import flatten
from gsnr_sweep.status import read_status
from gsnr_sweep.tracking import SweepTracker, tracking_uri


class SweepFailedError(GsnrError):
    """Some runs of a sweep failed; the others are complete."""


@dataclass
class Sweep:
    """What the runs of one launch have in common.

    Attributes:
        context: Hydra's loader and callbacks.
        task_function: What a run executes.
        base: The sweep's config, ``hydra`` part included.
        backend: Where runs are executed.
        threads_per_worker: Given to runs that do not say how many threads they want.
        console: Where progress and results are shown.
    """

    context: HydraContext
    task_function: TaskFunction
    base: DictConfig
    backend: Backend
    threads_per_worker: int
    console: Console

    def launch(self, overrides: Sequence[Sequence[str]], first_index: int) -> list[JobReturn]:
        """Run every grid point, show how it goes, and aggregate what came out.

        Raises:
            GsnrError: A grid point cannot run; nothing was started.
            SweepFailedError: Some runs failed.
        """
        configs = [self._compose(list(o), first_index + i) for i, o in enumerate(overrides)]
        points = check(
            [
                GridPoint(" ".join(filter_overrides(o)), _without_hydra(cfg))
                for o, cfg in zip(overrides, configs, strict=True)
            ]
        )
        self._show_plan(points, overrides)
        tracker = self._start_tracking(points, overrides)
        named = [
            name_run(point, filter_overrides(list(o)), _axes(overrides))
            for point, o in zip(points, overrides, strict=True)
        ]
        jobs = [
            self._job(cfg, point, name, tracker)
            for cfg, point, name in zip(configs, points, named, strict=True)
        ]
        outcomes = self._run(jobs, tracker)
        self._report(outcomes, tracker)
        return [
            _job_return(cfg, outcomes[job.index]) for cfg, job in zip(configs, jobs, strict=True)
        ]

    @property
    def folder(self) -> Path:
        """Return the sweep's folder."""
        return Path(str(self.base.hydra.sweep.dir)).absolute()

    def _compose(self, overrides: list[str], index: int) -> DictConfig:
        cfg = self.context.config_loader.load_sweep_config(self.base, overrides)
        with open_dict(cfg):
            cfg.hydra.job.id = str(index)
            cfg.hydra.job.num = index
            cfg.hydra.sweep.dir = str(self.folder)
            if cfg.threads is None:
                cfg.threads = self.threads_per_worker
        return cfg

    def _start_tracking(
        self, points: Sequence[CheckedPoint], overrides: Sequence[Sequence[str]]
    ) -> SweepTracker | None:
        tracking = points[0].cfg.tracking
        if tracking.name != "mlflow":
            return None
        uri = tracking_uri(tracking, self._launch_folder)
        now = datetime.now().strftime("%Y-%m-%d %H:%M:%S")
        return SweepTracker.start(
            uri,
            tracking.experiment,
            f"{points[0].cfg.data.name} sweep {now}",
            _shared_params(points),
            {
                "gsnr.command": shlex.join(["python", *sys.argv]),
                "gsnr.grid": str(_axes(overrides)),
                "gsnr.runs": str(len(points)),
                "mlflow.note.content": f"`{shlex.join(['python', *sys.argv])}`",
            },
        )

    @property
    def _launch_folder(self) -> Path:
        return Path(str(self.base.hydra.runtime.cwd))

    def _job(
        self, cfg: DictConfig, point: CheckedPoint, name: str, tracker: SweepTracker | None
    ) -> Job:
        with open_dict(cfg):
            cfg.tracking.run_name = name
            if tracker is not None:
                cfg.tracking.parent_run_id = tracker.run_id
                cfg.tracking.uri = tracking_uri(point.cfg.tracking, self._launch_folder)
        assignment = Assignment(self.context, self.task_function, cfg, Singleton.get_state())
        return Job(
            index=cfg.hydra.job.num,
            name=name,
            folder=self.folder / str(cfg.hydra.sweep.subdir),
            payload=cloudpickle.dumps(assignment),
            cost=point.flops,
        )

    def _show_plan(
        self, points: Sequence[CheckedPoint], overrides: Sequence[Sequence[str]]
    ) -> None:
        self.console.print(
            show_plan(
                points,
                _axes(overrides),
                self.backend.describe(),
                _relative(self.folder),
                describe_tracking(points[0].cfg.tracking, self._launch_folder),
            )
        )

    def _run(self, jobs: list[Job], tracker: SweepTracker | None) -> dict[int, Outcome]:
        outcomes: dict[int, Outcome] = {}
        longest_first = sorted(jobs, key=lambda job: -job.cost)
        try:
            with SweepProgress(jobs, self.console) as progress:
                for outcome in self.backend.run(longest_first, progress.look):
                    outcomes[outcome.job.index] = outcome
                    progress.ended(outcome)
                    _close_if_failed(outcome, tracker)
        except KeyboardInterrupt:
            self._interrupted(jobs, outcomes, tracker)
        return outcomes

    def _interrupted(
        self, jobs: list[Job], outcomes: dict[int, Outcome], tracker: SweepTracker | None
    ) -> None:
        if tracker is not None:
            for job in jobs:
                status = read_status(job.folder)
                if job.index not in outcomes and status is not None:
                    tracker.close_child(status.run_id, "KILLED")
            tracker.finish("KILLED")
        complete = sum(outcome.result is not None for outcome in outcomes.values())
        kept = " and in MLflow" if tracker is not None else ""
        raise SweepFailedError(
            f"Stopped with {complete} of {len(jobs)} runs complete. Their records are in "
            f"{_relative(self.folder)}{kept}; the same command starts the sweep anew."
        ) from None

    def _report(self, outcomes: dict[int, Outcome], tracker: SweepTracker | None) -> None:
        failed = [outcome for _, outcome in sorted(outcomes.items()) if outcome.result is None]
        if tracker is not None:
            if len(failed) < len(outcomes):
                self._aggregate(tracker)
            tracker.finish("FAILED" if failed else "FINISHED")
        else:
            self.console.print("tracking=none: records are on disk, nothing is aggregated.")
        untracked = [o.result for o in outcomes.values() if o.result and o.result.untracked]
        if untracked and tracker is not None:
            self.console.print(
                f"{len(untracked)} run(s) could not be sent to MLflow "
                f"({untracked[0].untracked}). Their records are in {_relative(self.folder)}.",
                style="yellow",
                markup=False,
            )
        if failed:
            raise SweepFailedError(self._failures(failed, len(outcomes)))

    def _aggregate(self, tracker: SweepTracker) -> None:
        from gsnr_sweep.aggregate import aggregate

        try:
            aggregate(tracker.client, tracker.run_id, self.folder, console=self.console)
        except Exception as error:  # whatever it is, the runs are complete and stay so
            told = str(error) if isinstance(error, GsnrError) else reason(error)
            self.console.print(f"Not aggregated: {told}", style="yellow", markup=False)

    def _failures(self, failed: list[Outcome], total: int) -> str:
        lines = [f"{len(failed)} of {total} runs failed; the others are complete."]
        for outcome in failed:
            logs = (outcome.job.folder / "run.log", self.folder / "workers.log")
            log_file = next((f"  (log: {_relative(log)})" for log in logs if log.is_file()), "")
            lines.append(f"  {outcome.job.name}: {outcome.error}{log_file}")
        return "\n".join(lines)


def name_run(
    point: CheckedPoint, overrides: Sequence[str], axes: Mapping[str, Sequence[str]]
) -> str:
    """Name a run of a sweep after n, ch and p_random and whatever else is swept."""
    base = config.run_name(point.cfg)
    told = {"n", "ch", "p_random", "data.eta"}
    others = [o for o in overrides if (key := o.partition("=")[0]) in axes and key not in told]
    return " ".join([base, *others])


def describe_tracking(tracking: TrackingConfig, launch_folder: Path) -> str:
    """Say where results are tracked and how to browse them."""
    if tracking.name != "mlflow":
        return "none: records on disk only"
    uri = tracking_uri(tracking, launch_folder)
    default = uri == f"sqlite:///{launch_folder / 'mlflow.db'}"
    browse = "mlflow ui" if default else f"mlflow ui --backend-store-uri {uri}"
    hint = f"  (browse: {browse})" if uri.startswith("sqlite") else ""
    return f"{uri}, experiment {tracking.experiment}{hint}"


def _close_if_failed(outcome: Outcome, tracker: SweepTracker | None) -> None:
    """Close the MLflow run of a worker that died before it could."""
    status = read_status(outcome.job.folder)
    if tracker is not None and outcome.result is None and status is not None:
        tracker.close_child(status.run_id, "KILLED")


def _shared_params(points: Sequence[CheckedPoint]) -> dict[str, Any]:
    """Return the parameters that all runs have in common."""
    flat = [flatten(asdict(point.cfg)) for point in points]
    return {
        key: value
        for key, value in flat[0].items()
        if not key.startswith("tracking.") and all(other.get(key) == value for other in flat)
    }


def _axes(overrides: Sequence[Sequence[str]]) -> dict[str, list[str]]:
    """Return the swept keys with their values, from the runs' overrides."""
    values: dict[str, list[str]] = {}
    for point in overrides:
        for override in filter_overrides(point):
            key, _, value = override.partition("=")
            seen = values.setdefault(key, [])
            if value not in seen:
                seen.append(value)
    return {key: seen for key, seen in values.items() if len(seen) > 1}


def _without_hydra(cfg: DictConfig) -> DictConfig:
    bare = cfg.copy()
    OmegaConf.set_readonly(bare, False)
    with open_dict(bare):
        del bare["hydra"]
    return bare


def _job_return(cfg: DictConfig, outcome: Outcome) -> JobReturn:
    done = JobReturn()
    done.overrides = list(cfg.hydra.overrides.task)
    done.cfg = _without_hydra(cfg)
    done.working_dir = str(outcome.job.folder)
    done.return_value = outcome.result
    done.status = JobStatus.COMPLETED if outcome.result else JobStatus.FAILED
    return done


def _relative(path: Path) -> Path:
    """Shorten a path for people where it lies below the current folder."""
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path
