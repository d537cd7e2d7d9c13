"""One grid point from its config to its result."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from gsnr_sweep import config
from gsnr_sweep.config import Config
from gsnr_sweep.data import RunSets, Samples, distribution, draw_sets
from gsnr_sweep.data.seeding import Stream, torch_seed
from gsnr_sweep.device import (
    choose_device,
    describe_device,
    peak_memory_mb,
    reset_peak_memory,
    set_exact_arithmetic,
)
from gsnr_sweep.ensemble import Ensemble, Snapshot
from gsnr_sweep.environment import describe_environment
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.locate import reason
from gsnr_sweep.measures import Measure, load_measures, measure_all
from gsnr_sweep.models import build_model
from gsnr_sweep.record import Measurement, RunRecord
from gsnr_sweep.status import StatusFile
from gsnr_sweep.tracking import RunTracker

log = logging.getLogger(__name__)

OnEpoch = Callable[[int], None]


class DivergedError(GsnrError):
    """Training left the finite numbers."""


@dataclasses.dataclass(frozen=True)
class RunResult:
    """What a run gives back to whoever started it.

    Attributes:
        record: Settings and measurements.
        folder: Where the record lies.
        run_id: MLflow run, empty if none.
        untracked: Why MLflow does not have the results, empty if it has.
    """

    record: RunRecord
    folder: str
    run_id: str
    untracked: str


def task(cfg: DictConfig) -> RunResult:
    """Run the grid point that Hydra composed, in Hydra's output folder."""
    hydra = HydraConfig.get()
    typed = config.from_omegaconf(cfg)
    return run_point(typed, Path(hydra.runtime.output_dir), Path(hydra.runtime.cwd))


def run_point(
    cfg: Config, folder: Path, launch_folder: Path, on_epoch: OnEpoch | None = None
) -> RunResult:
    """Draw the data, train, measure, record.

    Args:
        cfg: A valid config.
        folder: Output folder; gets ``record.json`` and ``status.json``.
        launch_folder: Holds the default tracking store.
        on_epoch: Called with the number of steps taken.

    Raises:
        DivergedError: A loss became infinite or NaN; what was measured before is recorded.
    """
    started = time.perf_counter()
    device = choose_device(cfg.device)
    record = RunRecord(
        name=config.run_name(cfg),
        config=dataclasses.asdict(cfg),
        config_hash=config.config_hash(cfg),
        environment=describe_environment(describe_device(device)),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    status = StatusFile(folder, cfg.epochs)
    record.write(folder)
    tracker = RunTracker(cfg.tracking, launch_folder)
    tracker.start(record)
    status.status.run_id = tracker.run_id
    status.write()  # now: whoever finds this process dead must be able to close the run
    stopwatch = Stopwatch()
    reset_peak_memory(device)
    try:
        _train_and_measure(cfg, device, record, folder, tracker, status, stopwatch, on_epoch)
        record.state = "finished"
    except BaseException as error:
        record.state = "diverged" if isinstance(error, DivergedError) else "failed"
        record.error = str(error) if isinstance(error, GsnrError) else reason(error)
        status.status.message = record.error
        log.error("%s: %s", record.name, record.error, exc_info=True)
        raise
    finally:
        record.summary["wall_time_s"] = time.perf_counter() - started
        record.summary["overhead_s"] = record.summary["wall_time_s"] - stopwatch.seconds
        record.summary["peak_memory_mb"] = peak_memory_mb(device)
        path = record.write(folder)
        files = [path, folder / "run.log", *sorted((folder / ".hydra").glob("*.yaml"))]
        tracker.finish(record, files)
        status.status.state, status.status.run_id = record.state, tracker.run_id
        status.write()
    return RunResult(record, str(folder), tracker.run_id, tracker.problem)


def _train_and_measure(
    cfg: Config,
    device: torch.device,
    record: RunRecord,
    folder: Path,
    tracker: RunTracker,
    status: StatusFile,
    stopwatch: Stopwatch,
    on_epoch: OnEpoch | None,
) -> None:
    set_exact_arithmetic()
    torch.set_num_threads(1)
    cfg = dataclasses.replace(cfg, threads=cfg.threads or available_cores())
    source = distribution(cfg.data)
    sets = draw_sets(source, cfg)
    digests = samples_digest(sets.train), samples_digest([sets.test])
    tracker.describe_data(source.spec.name, source.spec.source, sets, digests)
    measures = load_measures(cfg.measures.functions)
    ensemble = build_ensemble(cfg, sets, device)
    record.summary["n_parameters"] = ensemble.n_parameters

    def reached(epoch: int) -> None:
        status.reached(epoch)
        if on_epoch is not None:
            on_epoch(epoch)

    for measurement, finite in _measurements(ensemble, measures, reached, stopwatch):
        record.measurements.append(measurement)
        record.write(folder)
        tracker.measured(measurement)
        status.status.message = _headline(measurement)
        if not finite:
            raise DivergedError(
                f"Training diverged: a loss is infinite or NaN at epoch {measurement.epoch}. "
                f"Try a learning rate below lr={cfg.lr}."
            )
    steps = cfg.epochs * cfg.n * cfg.n_sets
    record.summary["train_samples_per_s"] = steps / max(stopwatch.seconds, 1e-9)


def build_ensemble(cfg: Config, sets: RunSets, device: torch.device) -> Ensemble:
    """Build the replicas of one grid point with their initial weights."""
    spec = distribution(cfg.data).spec
    seed = torch_seed(cfg.seed, Stream.INITIAL_WEIGHTS)
    model = build_model(cfg.model, cfg.ch, spec.input_shape, spec.n_outputs, seed)
    return Ensemble(model, sets, spec.task, cfg, device)


class Stopwatch:
    """Adds up the seconds spent training and measuring."""

    def __init__(self) -> None:
        """Start at zero."""
        self.seconds = 0.0

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
    ensemble: Ensemble, measures: dict[str, Measure], on_epoch: OnEpoch, stopwatch: Stopwatch
) -> Iterator[tuple[Measurement, bool]]:
    """Yield the measurements, each with whether all losses were finite numbers."""
    for snapshot in stopwatch.timed(ensemble.run(on_epoch)):
        start = time.perf_counter()
        measurement = Measurement.from_values(snapshot.epoch, measure_all(measures, snapshot))
        stopwatch.seconds += time.perf_counter() - start
        yield measurement, snapshot.is_finite


def _headline(measurement: Measurement) -> str:
    """Put the two sides of eq. (19) into a few words."""
    lhs = measurement.metrics.get("osgr_lhs", math.nan)
    rhs = measurement.metrics.get("osgr_rhs", math.nan)
    return f"epoch {measurement.epoch}: LHS {lhs:.3f}  RHS {rhs:.3f}"


def samples_digest(sets: Iterable[Samples]) -> str:
    """Identify the samples of one or more sets, labels included, by 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for samples in sets:
        for tensor in (samples.x, samples.y):
            digest.update(tensor.cpu().contiguous().numpy().data)
    return digest.hexdigest()[:16]


def available_cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
