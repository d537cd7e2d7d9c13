"""How fast this machine takes a network's steps and measurements, timed for a moment.

What is timed is the run's own code, `Ensemble` and its replicas, on noise of the data's shape, with
as many replicas side by side as the run will have.
"""

from __future__ import annotations

import copy
import math
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from gsnr_sweep.config.schema import Config
from gsnr_sweep.data.samples import Samples
from gsnr_sweep.data.sampling import RunSets
from gsnr_sweep.engine.chunking import ChunkSizes
from gsnr_sweep.models.build import build_model
from gsnr_sweep.preflight.memory import noise
from gsnr_sweep.training.ensemble import Ensemble
from gsnr_sweep.training.replica import Replica

if TYPE_CHECKING:
    from gsnr_sweep.data.base import DataSpec

Work = Callable[[Replica], object]

# The longest timed step takes this share of a trial's budget. Getting there by doubling takes twice
# as long again, and steps, measurements and losses are taken twice each.
_STEP_SHARE = 1 / 16
_FEWEST = 2
_APART = 16  # samples in a chunk from which what they cost can be told from what the chunk costs
_PATIENCE_S = 0.1  # to get there, even if many networks have to share the budget
_LEAST_SHARE = 0.1  # of samples in the time of a pass, where noise says less
_MOST = 4096
_STACKED_STEPS = 3
_HANDOVER = 1.2  # two threads of 20 neurons each took 1.15 to 1.25 times as long as one after other


@dataclass(frozen=True)
class Cost:
    """Seconds of one pass over n samples, on one of the threads.

    Attributes:
        chunk: Of each chunk, whatever its size.
        sample: Of each sample.
    """

    chunk: float
    sample: float

    def seconds(self, n: int, chunk_size: int, threads: int = 1) -> float:
        """Return the seconds of a pass over n samples while as many threads do the same.

        What a chunk costs whatever its size is mostly Python's, which lets one thread work at a
        time: networks of a few neurons gain nothing by threads.
        """
        waiting = _HANDOVER * threads if threads > 1 else 1.0
        return -(-n // chunk_size) * self.chunk * waiting + n * self.sample


@dataclass(frozen=True)
class PassCosts:
    """What one replica costs.

    Attributes:
        step: A training step, by training samples.
        measured: A step that is measured on the training set before and after, likewise.
        losses: Losses of further samples.
    """

    step: Cost
    measured: Cost
    losses: Cost


def calibrate(
    cfg: Config,
    spec: DataSpec,
    device: torch.device,
    threads: int,
    several_chunks: bool,
    budget: float,
) -> PassCosts:
    """Time a run's passes.

    Args:
        cfg: The run.
        spec: Its data.
        device: Where it computes.
        threads: Replicas worked on side by side.
        several_chunks: Whether batch normalization takes its statistics over several chunks, which
            makes a step many passes.
        budget: Seconds that this may take, about; a single slow step may take longer.
    """
    few = replace(cfg, n_sets=threads, threads=threads)
    with ThreadPoolExecutor(
        threads, "calibration", initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        trial = pool.submit(_Trial, few, spec, device, 2 if several_chunks else 1).result()
        costs = trial.costs(budget, pool)
        if not trial.is_stacked:
            return costs
        step = pool.submit(_stacked_step, cfg, spec, device).result()
        return replace(costs, step=step)


def _stacked_step(cfg: Config, spec: DataSpec, device: torch.device) -> Cost:
    """Time a step of all replicas at once; return what it costs a replica on one thread."""
    samples = Samples(*noise(spec, min(cfg.n, _MOST))).to(device)
    model = build_model(cfg.model, cfg.ch, spec.input_shape, spec.n_outputs, seed=0)
    sets = RunSets([samples] * cfg.n_sets, samples)
    one = replace(cfg, threads=1, n=len(samples))
    with Ensemble(model, sets, spec.task, one.training, device).stepping() as steps:
        seconds = min(_seconds_of(steps.take, device) for _ in range(_STACKED_STEPS))
    return Cost(0.0, seconds / (cfg.n_sets * len(samples)))


def _seconds_of(work: Callable[[], object], device: torch.device) -> float:
    clock = time.thread_time if device.type == "cpu" else time.perf_counter
    started = clock()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - started


class _Trial:
    """Replicas on noise, and what their passes take in one chunk, or cut into a few."""

    def __init__(self, cfg: Config, spec: DataSpec, device: torch.device, chunks: int) -> None:
        self._cfg, self._spec, self._device, self._chunks = cfg, spec, device, chunks
        self._samples = Samples(*noise(spec, min(cfg.n, _MOST))).to(device)
        self._model = build_model(cfg.model, cfg.ch, spec.input_shape, spec.n_outputs, seed=0)
        self.is_stacked = False
        self._sizes, self._replicas = self._build(cfg)

    def _build(self, cfg: Config) -> tuple[ChunkSizes, list[Replica]]:
        sets = RunSets([self._samples] * cfg.n_sets, self._samples)
        model = copy.deepcopy(self._model)
        ensemble = Ensemble(model, sets, self._spec.task, cfg.training, self._device)
        self.is_stacked = ensemble.is_stacked
        return ensemble.chunks, ensemble.replicas

    def costs(self, budget: float, pool: ThreadPoolExecutor) -> PassCosts:
        """Double the samples until a step takes its share of the budget, then time everything."""
        most = min(len(self._samples), self._chunks * self._sizes.step)
        few = many = min(_FEWEST * self._chunks, most)
        self._time(pool, _step, few)  # the first step pays for what later ones find in place
        seconds = self._time(pool, _step, few)
        enough = budget * _STEP_SHARE / 2
        while many < most and (
            seconds < enough or (many < _APART * self._chunks and seconds < _PATIENCE_S)
        ):
            many = min(2 * many, most)
            seconds = self._time(pool, _step, many)
        step, measured, losses = (
            self._cost(pool, work, few, many) for work in (_step, _measure, _losses)
        )
        return PassCosts(step, measured, losses)

    def _cost(self, pool: ThreadPoolExecutor, work: Work, few: int, many: int) -> Cost:
        """Tell apart what each chunk costs and what each sample costs."""
        seconds = min(self._time(pool, work, many), self._time(pool, work, many))
        if many == few:
            return Cost(0.0, seconds / many)
        least = self._time(pool, work, few)
        sample = max(seconds - least, _LEAST_SHARE * seconds) / (many - few)
        return Cost(max(seconds - many * sample, 0.0) / self._chunks, sample)

    def _time(self, pool: ThreadPoolExecutor, work: Work, n: int) -> float:
        """Return the seconds that a replica takes for n samples while the others do the same.

        On a CPU these are seconds of its thread: what else happens to run on this machine just now
        says little about the hours of a sweep.
        """

        def timed(replica: Replica) -> float:
            return _seconds_of(lambda: work(replica), self._device)

        return statistics.mean(pool.map(timed, self._with(n)))

    def _with(self, n: int) -> list[Replica]:
        """Return replicas that train on n samples, in as many chunks as are wanted."""
        if self._chunks > 1 and self._sizes.step != math.ceil(n / self._chunks):
            cfg = replace(self._cfg, chunk_size=math.ceil(n / self._chunks))
            self._sizes, self._replicas = self._build(cfg)
        train = Samples(self._samples.x[:n], self._samples.y[:n])
        for replica in self._replicas:
            replica.train = train
        return self._replicas


def _step(replica: Replica) -> None:
    replica.descend(replica.gradient(), 0.0)


def _measure(replica: Replica) -> None:
    replica.fix_statistics()
    replica.moments()
    _step(replica)
    replica.fix_statistics()
    _losses(replica)


def _losses(replica: Replica) -> None:
    replica.losses(replica.train)
