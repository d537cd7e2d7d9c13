"""One grid point from its config to its result."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from typing_extensions import override

from gsnr_sweep.config.identity import code_version, equal_codes, run_identity, training_identity
from gsnr_sweep.config.own_code import own_code
from gsnr_sweep.config.parse import from_omegaconf
from gsnr_sweep.config.schema import Config, run_name
from gsnr_sweep.data.fingerprint import describe_data
from gsnr_sweep.data.registry import distribution, files_of
from gsnr_sweep.data.sampling import RunSets, draw_sets
from gsnr_sweep.data.seeding import Stream, torch_seed
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.measures import Measure, load_measures, measure_all, requirements_of
from gsnr_sweep.models.build import build_model
from gsnr_sweep.records.record import Measurement, RunRecord
from gsnr_sweep.records.state import State
from gsnr_sweep.records.status import other_run, taken_folder
from gsnr_sweep.runs.callbacks import Callback, RunState
from gsnr_sweep.runs.checkpointing import Checkpointing
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
from gsnr_sweep.runs.memory_guard import within_memory
from gsnr_sweep.runs.outcome import (
    DivergedError,
    RunResult,
    _state_after,
    may_pass,
)
from gsnr_sweep.runs.recorder import Recorder
from gsnr_sweep.runs.resume import ResumePoint, finished_record
from gsnr_sweep.runs.status_reporter import StatusReporter
from gsnr_sweep.runs.stopwatch import Stopwatch
from gsnr_sweep.tracking.uri import without_passwords
from gsnr_sweep.training.ensemble import Ensemble
from gsnr_sweep.training.snapshot import Snapshot
from gsnr_sweep.user_code import UserCodeError, as_error, told, working
from gsnr_sweep.wording import describe_epoch

log = logging.getLogger(__name__)

OnEpoch = Callable[[int], None]


def task(cfg: DictConfig, attempt: Attempt | None = None) -> RunResult:
    """Run the grid point that Hydra composed, in Hydra's output folder."""
    hydra = HydraConfig.get()
    typed = from_omegaconf(cfg)
    folder = Path(hydra.runtime.output_dir)
    return run_point(typed, folder, attempt=attempt)


def run_point(
    cfg: Config,
    folder: Path,
    on_epoch: OnEpoch | None = None,
    attempt: Attempt | None = None,
) -> RunResult:
    """Draw the data, train, measure, record.

    An earlier attempt in the same folder, or in ``attempt.resume_from``, is continued from its last
    checkpoint; on a CPU the numbers are then those of an undisturbed run, bit for bit.

    Args:
        cfg: A valid config.
        folder: Output folder; gets ``record.json``, ``status.json`` and checkpoints. Sending them
            to MLflow is not the run's business.
        on_epoch: Called with the number of steps taken.
        attempt: Which attempt this is; None for the first one.

    Raises:
        DivergedError: A loss became infinite or NaN; what was measured before is recorded.
        RunStoppedError: The run was asked to stop.
        GsnrError: The folder holds another run, or it cannot be written; the last checkpoint is
            intact.
    """
    return _Run(cfg, folder, on_epoch, attempt or Attempt()).result()


class _Run:
    """One attempt at one grid point: the order of things; callbacks do what goes on beside."""

    def __init__(
        self,
        cfg: Config,
        folder: Path,
        on_epoch: OnEpoch | None,
        attempt: Attempt,
    ) -> None:
        started = time.perf_counter()
        self.device = choose_device(cfg.device)
        code, identity = code_version(cfg), run_identity(cfg)
        if other := other_run(folder, identity):
            raise GsnrError(taken_folder(folder, other))
        self.finished = finished_record(folder, identity, code)
        training = training_identity(cfg)
        codes = (code, *equal_codes(cfg))
        before = ResumePoint.find(folder, attempt.resume_from, identity, codes, training)
        record = RunRecord(
            name=run_name(cfg),
            config=without_passwords(dataclasses.asdict(cfg)),
            config_hash=identity,
            environment=describe_environment(describe_device(self.device))
            | {"code": code, "kernels": kernels_used(cfg, self.device)},
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            measurements=list(before.measurements),
        )
        stopwatch = Stopwatch(before.seconds.get("compute", 0.0))
        run = RunState(cfg, folder, attempt, code, record, before, stopwatch, training)
        run.started = started
        self.run, self.status = run, StatusReporter(run)
        self.after_record = (self.status, Checkpointing(run))
        self.callbacks: tuple[Callback, ...] = (Recorder(), *self.after_record, _Told(on_epoch))

    def result(self) -> RunResult:
        run = self.run
        if self.finished is not None:
            return self._say_that_it_is_finished(self.finished)
        with self.status.heartbeat():
            for callback in self.callbacks:
                callback.on_start(run)
            reset_peak_memory(self.device)
            own = "; ".join(own_code(run.record.config))
            try:
                with working(own), self._within_memory():
                    self._train_and_measure()
                run.record.state = State.FINISHED
            except BaseException as raised:
                error = as_error(own, raised)
                self._failed(error)
                raise error  # noqa: B904 - the same one, but for what would end the process
            finally:
                self._close()
        return self._returned()

    def _within_memory(self) -> AbstractContextManager[None]:
        return within_memory(self.run.cfg, self.device, self.run.attempt.sharing_memory)

    def _returned(self) -> RunResult:
        run = self.run
        return RunResult(run.record, str(run.folder))

    def _say_that_it_is_finished(self, record: RunRecord) -> RunResult:
        """Do what an earlier attempt had left to do when it died: only to tell."""
        self.run.record = record
        self.run.epoch = round(record.summary.get("epochs_trained", self.run.cfg.epochs))
        for callback in self.after_record:
            callback.on_end(self.run)
        if record.state == State.DIVERGED:
            raise DivergedError(record.error)
        return self._returned()

    def _failed(self, error: BaseException) -> None:
        record = self.run.record
        record.state = _state_after(error)
        record.error = told(error)
        self.run.may_pass = may_pass(error)
        unexpected = not isinstance(error, GsnrError) or isinstance(error, UserCodeError)
        log.error("%s: %s", record.name, record.error, exc_info=unexpected)

    def _close(self) -> None:
        """Keep and send what there is, whatever happened."""
        run, summary = self.run, self.run.record.summary
        summary["wall_time_s"] = run.wall_seconds
        summary["overhead_s"] = run.wall_seconds - run.stopwatch.seconds
        summary["peak_memory_mb"] = peak_memory_mb(self.device)
        for callback in self.callbacks:
            try:
                callback.on_end(run)
            except GsnrError as error:
                run.problems.append(error)
        if run.problems and run.record.state == State.FINISHED:
            raise run.problems[0]

    def _train_and_measure(self) -> None:
        run = self.run
        set_exact_arithmetic(run.cfg.tf32)
        torch.set_num_threads(1)
        cfg = dataclasses.replace(run.cfg, threads=run.cfg.threads or available_cores())
        source = distribution(cfg.data)
        sets = draw_sets(source, cfg.sampling)
        data = run.record.data = describe_data(source.spec, sets, files_of(cfg.data))
        run.data_digest = f"{data['train_digest']}+{data['test_digest']}"
        measures = load_measures(cfg.measures.functions, cfg.measures.of_networks)
        ensemble = run.ensemble = build_ensemble(cfg, sets, self.device)
        run.record.summary["n_parameters"] = ensemble.n_parameters
        self._go_on(ensemble)
        for callback in self.callbacks:
            callback.on_data(run)
        done = [measurement.epoch for measurement in run.record.measurements]
        snapshots = ensemble.run(self._stepped, run.before.epoch, done, requirements_of(measures))
        for snapshot in run.stopwatch.timed(snapshots):
            self._measure(snapshot, measures)
        run.record.stopped_by = ensemble.stopped_by(run.epoch)
        run.record.summary["epochs_trained"] = run.epoch
        steps = run.epoch * cfg.train_size * cfg.n_sets
        run.record.summary["train_samples_per_s"] = steps / max(run.stopwatch.seconds, 1e-9)

    def _go_on(self, ensemble: Ensemble) -> None:
        """Put the replicas where an earlier attempt left them."""
        run, before = self.run, self.run.before.of_data(self.run.data_digest)
        if before.note:
            log.warning("starting anew: %s", before.note)
        if before is not run.before:
            run.before, run.stopwatch.seconds, run.record.measurements = before, 0.0, []
            for callback in self.callbacks:
                callback.on_restart(run)
        run.record.measurements = list(before.measurements)
        if before.checkpoint is not None:
            ensemble.load_state(before.checkpoint.tensors)
            log.info("going on from epoch %d", before.epoch)
        run.epoch = before.epoch

    def _stepped(self, epoch: int) -> None:
        self.run.epoch = epoch
        for callback in self.callbacks:
            callback.on_step(self.run, epoch)

    def _measure(self, snapshot: Snapshot, measures: dict[str, Measure]) -> None:
        """Apply the measures to a snapshot and tell what came out.

        Raises:
            DivergedError: A loss is not finite.
        """
        with self.run.stopwatch.running():
            snapshot = dataclasses.replace(snapshot, earlier=self._measured_before(snapshot.epoch))
            values = measure_all(measures, snapshot)
            place = (snapshot.step, snapshot.is_end)
            measurement = Measurement.from_values(snapshot.epoch, values, *place)
        for callback in self.callbacks:
            callback.on_measurement(self.run, measurement)
        if not snapshot.is_finite:
            raise DivergedError(
                "Training diverged: a loss is infinite or NaN at epoch "
                f"{describe_epoch(snapshot.epoch)}. Try a learning rate below lr={self.run.cfg.lr}."
            )

    def _measured_before(self, epoch: float) -> list[Measurement]:
        return [one for one in self.run.record.measurements if one.epoch < epoch]


class _Told(Callback):
    """Passes the number of steps taken on to whoever called the run."""

    def __init__(self, on_epoch: OnEpoch | None) -> None:
        self._on_epoch = on_epoch

    @override
    def on_step(self, run: RunState, epoch: int) -> None:
        """Pass it on."""
        if self._on_epoch is not None:
            self._on_epoch(epoch)


def build_ensemble(cfg: Config, sets: RunSets, device: torch.device) -> Ensemble:
    """Build the replicas of one grid point with their initial weights."""
    spec = distribution(cfg.data).spec
    seed = torch_seed(cfg.weights_seed, Stream.INITIAL_WEIGHTS)
    model = build_model(cfg.model, cfg.ch, spec.input_shape, spec.n_outputs, seed)
    return Ensemble(model, sets, spec.task, cfg.training, device)
