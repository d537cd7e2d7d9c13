"""One grid point from its config to its result."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from gsnr_sweep.config.identity import code_version, run_identity
from gsnr_sweep.config.parse import from_omegaconf
from gsnr_sweep.config.schema import Config, run_name
from gsnr_sweep.data.fingerprint import describe_data
from gsnr_sweep.data.registry import distribution
from gsnr_sweep.data.sampling import RunSets, draw_sets
from gsnr_sweep.data.seeding import Stream, torch_seed
from gsnr_sweep.errors import GsnrError, reason
from gsnr_sweep.measures import Measure, load_measures, measure_all, wanted_by
from gsnr_sweep.models.build import build_model
from gsnr_sweep.records.checkpoint import Checkpoint, Checkpointer, remove_checkpoint
from gsnr_sweep.records.record import Measurement, RunRecord
from gsnr_sweep.records.status import Status, StatusFile, read_status
from gsnr_sweep.runs.control import Attempt
from gsnr_sweep.runs.device import (
    available_cores,
    choose_device,
    describe_device,
    kernels_used,
    peak_memory_mb,
    reset_peak_memory,
    set_exact_arithmetic,
)
from gsnr_sweep.runs.environment import describe_environment
from gsnr_sweep.runs.outcome import (
    DivergedError,
    RunResult,
    RunStoppedError,
    _state_after,
    may_pass,
)
from gsnr_sweep.runs.resume import Beginning, finished_record
from gsnr_sweep.tracking.run_tracker import RunTracker, artifact_files, run_key
from gsnr_sweep.training.ensemble import Ensemble
from gsnr_sweep.training.snapshot import Snapshot

log = logging.getLogger(__name__)

OnEpoch = Callable[[int], None]


def task(cfg: DictConfig, attempt: Attempt | None = None) -> RunResult:
    """Run the grid point that Hydra composed, in Hydra's output folder."""
    hydra = HydraConfig.get()
    typed = from_omegaconf(cfg)
    folder, launch_folder = Path(hydra.runtime.output_dir), Path(hydra.runtime.cwd)
    return run_point(typed, folder, launch_folder, attempt=attempt)


def run_point(
    cfg: Config,
    folder: Path,
    launch_folder: Path,
    on_epoch: OnEpoch | None = None,
    attempt: Attempt | None = None,
) -> RunResult:
    """Draw the data, train, measure, record.

    An earlier attempt in the same folder, or in ``attempt.resume_from``, is continued from its last
    checkpoint; on a CPU the numbers are then those of an undisturbed run, bit for bit.

    Args:
        cfg: A valid config.
        folder: Output folder; gets ``record.json``, ``status.json`` and checkpoints.
        launch_folder: Holds the default tracking store.
        on_epoch: Called with the number of steps taken.
        attempt: Which attempt this is; None for the first one.

    Raises:
        DivergedError: A loss became infinite or NaN; what was measured before is recorded.
        RunStoppedError: The run was asked to stop.
        GsnrError: The folder cannot be written; the last checkpoint is intact.
    """
    return _Run(cfg, folder, launch_folder, on_epoch, attempt or Attempt()).result()


class _Run:
    """One attempt at one grid point."""

    def __init__(
        self,
        cfg: Config,
        folder: Path,
        launch_folder: Path,
        on_epoch: OnEpoch | None,
        attempt: Attempt,
    ) -> None:
        self.cfg, self.folder, self.attempt, self.on_epoch = cfg, folder, attempt, on_epoch
        self.started = time.perf_counter()
        self.device = choose_device(cfg.device)
        self.code = code_version(cfg)
        identity = run_identity(cfg)
        earlier = read_status(folder)
        self.finished = finished_record(folder, identity, self.code)
        self.before = Beginning.find(folder, attempt.resume_from, identity, self.code)
        self.record = RunRecord(
            name=run_name(cfg),
            config=dataclasses.asdict(cfg),
            config_hash=identity,
            environment=describe_environment(describe_device(self.device))
            | {"code": self.code, "kernels": kernels_used(cfg, self.device)},
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            measurements=list(self.before.measurements),
        )
        self.status = StatusFile(
            folder,
            Status(
                epoch=self.before.epoch,
                epochs=cfg.epochs,
                run_id=earlier.run_id if earlier and not self.before.note else "",
                attempt=attempt.number,
                name=self.record.name,
                config_hash=identity,
                code=self.code,
                experiment=cfg.tracking.experiment,
            ),
        )
        self.tracker = RunTracker(
            cfg.tracking,
            launch_folder,
            self.status.status.run_id,
            attempt.outage,
            key=run_key(folder, cfg.tracking),
            may_exist=attempt.number > 1 and not self.before.note,
        )
        self.stopwatch = Stopwatch(self.before.seconds.get("compute", 0.0))
        self.checkpointer = Checkpointer(folder, cfg.checkpoint_minutes)
        self.data_digest = ""

    @property
    def wall_seconds(self) -> float:
        """Time spent on this run, earlier attempts included as far as they were kept."""
        return self.before.seconds.get("wall", 0.0) + time.perf_counter() - self.started

    def result(self) -> RunResult:
        if self.finished is not None:
            return self._say_that_it_is_finished(self.finished)
        with self.status.heartbeat():
            self.record.write(self.folder)
            self.tracker.start(self.record)
            self.status.status.run_id = self.tracker.run_id
            self.status.write()  # now: whoever finds this process dead must be able to close it
            reset_peak_memory(self.device)
            try:
                self._train_and_measure()
                self.record.state = "finished"
            except BaseException as error:
                self._failed(error)
                raise
            finally:
                self._close()
        return RunResult(self.record, str(self.folder), self.tracker.run_id, self.tracker.problem)

    def _say_that_it_is_finished(self, record: RunRecord) -> RunResult:
        """Do what an earlier attempt had left to do when it died: only to tell."""
        self.tracker.start(record)
        self.tracker.describe_data(record.data)
        self.tracker.finish(record, artifact_files(self.folder))
        status = self.status.status
        status.state, status.epoch, status.message = record.state, self.cfg.epochs, record.error
        status.run_id, status.tracked = self.tracker.run_id, not self.tracker.problem
        self.status.write()
        self._drop_checkpoints()
        if record.state == "diverged":
            raise DivergedError(record.error)
        return RunResult(record, str(self.folder), self.tracker.run_id, self.tracker.problem)

    def _failed(self, error: BaseException) -> None:
        self.record.state = _state_after(error)
        self.record.error = str(error) if isinstance(error, GsnrError) else reason(error)
        self.status.status.message = self.record.error
        self.status.status.may_pass = may_pass(error)
        unexpected = not isinstance(error, GsnrError)
        log.error("%s: %s", self.record.name, self.record.error, exc_info=unexpected)

    def _close(self) -> None:
        """Keep and send what there is, whatever happened."""
        record, status = self.record, self.status.status
        record.summary["wall_time_s"] = self.wall_seconds
        record.summary["overhead_s"] = self.wall_seconds - self.stopwatch.seconds
        record.summary["peak_memory_mb"] = peak_memory_mb(self.device)
        status.state = record.state
        problems = []
        try:
            record.write(self.folder)
        except GsnrError as error:
            problems.append(error)
        self.tracker.finish(record, artifact_files(self.folder))
        status.run_id, status.tracked = self.tracker.run_id, not self.tracker.problem
        try:
            self.status.write()
            if record.state in ("finished", "diverged") and not problems:
                self._drop_checkpoints()
        except GsnrError as error:
            problems.append(error)
        if problems and record.state == "finished":
            raise problems[0]

    def _drop_checkpoints(self) -> None:
        for folder in (self.folder, self.attempt.resume_from):
            if folder is not None:
                with contextlib.suppress(OSError):
                    remove_checkpoint(folder)

    def _train_and_measure(self) -> None:
        set_exact_arithmetic(self.cfg.tf32)
        torch.set_num_threads(1)
        cfg = dataclasses.replace(self.cfg, threads=self.cfg.threads or available_cores())
        source = distribution(cfg.data)
        sets = draw_sets(source, cfg.sampling)
        self.record.data = describe_data(source.spec.name, source.spec.source, sets)
        self.data_digest = f"{self.record.data['train_digest']}+{self.record.data['test_digest']}"
        self.tracker.describe_data(self.record.data)
        measures = load_measures(cfg.measures.functions)
        ensemble = build_ensemble(cfg, sets, self.device)
        self.record.summary["n_parameters"] = ensemble.n_parameters
        first = self._go_on_from(ensemble)

        def reached(epoch: int) -> None:
            self._reached(epoch, ensemble)

        done = [measurement.epoch for measurement in self.record.measurements]
        snapshots = ensemble.run(reached, first, done, wanted_by(measures))
        for measurement, finite in _measurements(snapshots, measures, self.stopwatch):
            self._measured(measurement)
            if not finite:
                raise DivergedError(
                    f"Training diverged: a loss is infinite or NaN at epoch {measurement.epoch}. "
                    f"Try a learning rate below lr={cfg.lr}."
                )
        steps = cfg.epochs * cfg.n * cfg.n_sets
        self.record.summary["train_samples_per_s"] = steps / max(self.stopwatch.seconds, 1e-9)

    def _go_on_from(self, ensemble: Ensemble) -> int:
        """Put the replicas where an earlier attempt left them; return the steps taken."""
        before = self.before.of_data(self.data_digest)
        if before.note:
            log.warning("starting anew: %s", before.note)
        if before is not self.before:
            self.before, self.stopwatch.seconds = before, 0.0
            self.record.measurements = []
            self.tracker.start_anew(self.record)
            self.status.status.run_id = self.tracker.run_id
        self.record.measurements = list(before.measurements)
        if before.checkpoint is not None:
            ensemble.load_state(before.checkpoint.tensors)
            log.info("going on from epoch %d", before.epoch)
        self.status.status.started_at = before.epoch
        self.status.reached(before.epoch)
        self.record.write(self.folder)
        return before.epoch

    def _measured(self, measurement: Measurement) -> None:
        self.record.measurements.append(measurement)
        self.record.measurements.sort(key=lambda one: one.epoch)
        self.record.write(self.folder)
        self.tracker.measured(measurement)
        self.status.status.message = _headline(measurement)

    def _reached(self, epoch: int, ensemble: Ensemble) -> None:
        """Do what is due between two steps."""
        self.status.reached(epoch)
        request = self.attempt.request
        if request.stopping or request.take_save() or self.checkpointer.due:
            checkpoint = Checkpoint(
                epoch,
                ensemble.state(),
                self.record.config_hash,
                self.code,
                self.data_digest,
                {"wall": self.wall_seconds, "compute": self.stopwatch.seconds},
                self.record.measurements,
            )
            self.checkpointer.write(checkpoint)
        if request.stopping:
            raise RunStoppedError(
                f"Stopped at epoch {epoch} of {self.cfg.epochs} ({request.stopping})."
            )
        if self.on_epoch is not None:
            self.on_epoch(epoch)


def build_ensemble(cfg: Config, sets: RunSets, device: torch.device) -> Ensemble:
    """Build the replicas of one grid point with their initial weights."""
    spec = distribution(cfg.data).spec
    seed = torch_seed(cfg.seed, Stream.INITIAL_WEIGHTS)
    model = build_model(cfg.model, cfg.ch, spec.input_shape, spec.n_outputs, seed)
    return Ensemble(model, sets, spec.task, cfg.training, device)


class Stopwatch:
    """Adds up the seconds spent training and measuring."""

    def __init__(self, seconds: float = 0.0) -> None:
        """Start at what was spent before."""
        self.seconds = seconds

    def timed(self, snapshots: Iterator[Snapshot]) -> Iterator[Snapshot]:
        """Pass snapshots on, counting the time that it takes to make them."""
        while True:
            start = time.perf_counter()
            snapshot = next(snapshots, None)
            self.seconds += time.perf_counter() - start
            if snapshot is None:
                return
            yield snapshot


def _measurements(
    snapshots: Iterator[Snapshot], measures: dict[str, Measure], stopwatch: Stopwatch
) -> Iterator[tuple[Measurement, bool]]:
    """Yield the measurements, each with whether all losses were finite numbers."""
    for snapshot in stopwatch.timed(snapshots):
        start = time.perf_counter()
        measurement = Measurement.from_values(snapshot.epoch, measure_all(measures, snapshot))
        stopwatch.seconds += time.perf_counter() - start
        yield measurement, snapshot.is_finite


def _headline(measurement: Measurement) -> str:
    """Put the two sides of eq. (19) into a few words."""
    lhs = measurement.metrics.get("osgr_lhs", math.nan)
    rhs = measurement.metrics.get("osgr_rhs", math.nan)
    return f"epoch {measurement.epoch}: LHS {lhs:.3f}  RHS {rhs:.3f}"
