"""Seconds of grid points, from one training step and one measurement timed on this machine.

What is timed is the run's own code, `Ensemble` on noise of the data's shape, with the widest
network of each kind and few samples. Other widths are scaled by their FLOPs and other sizes by
their samples, which is right within about a factor of two.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from gsnr_sweep.config.schema import Config
from gsnr_sweep.data.registry import distribution
from gsnr_sweep.data.samples import Samples
from gsnr_sweep.data.sampling import RunSets
from gsnr_sweep.engine.chunking import ChunkSizes
from gsnr_sweep.engine.selection import EngineChoice
from gsnr_sweep.measures import load_measures, requirements_of
from gsnr_sweep.measures.registry import network_measures
from gsnr_sweep.models.build import build_model
from gsnr_sweep.preflight.check import network_costs, network_looks
from gsnr_sweep.preflight.examples import example_sets, without_confusion
from gsnr_sweep.preflight.memory import memory_bytes, plan_passes
from gsnr_sweep.runs.device import available_cores, choose_device
from gsnr_sweep.training.ensemble import Ensemble

if TYPE_CHECKING:
    from gsnr_sweep.data.base import DataSpec
    from gsnr_sweep.preflight.check import CheckedPoint

TRIAL_FLOPS = 12e9
"""Floating-point operations of all trials together: about half a second of a core."""

_PASSES = 22  # of a trial: 3 for a step, 7 for a measurement and 1 for losses, each taken twice
_FEWEST = 4  # samples in a trial
_FEWEST_IN_LANES = 32  # compiled kernels work on blocks of samples, full or not
_MOST_SAMPLES = 4096
_MOST_BATCHED = 32  # replicas in a trial of those that step together
_START_S = 0.3  # drawing and recording; reading a large pool of images takes seconds more


@dataclass(frozen=True)
class Setup:
    """A grid point as it will be computed.

    Attributes:
        point: The grid point.
        spec: Its data.
        plan: How its network is run.
        chunks: Samples in a pass.
        device: Where it computes.
        threads: Replicas worked on side by side.
        crowding: Busy threads of all workers by core, at least 1.
    """

    point: CheckedPoint
    spec: DataSpec
    plan: EngineChoice
    chunks: ChunkSizes
    device: torch.device
    threads: int
    crowding: float

    @property
    def cfg(self) -> Config:
        """The point's config."""
        return self.point.cfg

    @property
    def forward_flops(self) -> float:
        """FLOPs of one sample's forward pass; 1 for a network without any that are counted."""
        return max(self.point.forward_flops, 1.0)

    @property
    def size(self) -> tuple[float, int, int]:
        """What decides which point of a family is timed: its width, and then its sets."""
        return self.forward_flops, self.cfg.train_size, self.cfg.n_sets

    @property
    def memory_bytes(self) -> int:
        """Largest memory of the run."""
        parameters = self.point.n_parameters
        return memory_bytes(self.cfg, self.spec, self.plan, self.chunks, parameters, self.threads)

    @property
    def several_chunks(self) -> bool:
        """Whether batch normalization takes several passes for its statistics."""
        return self.plan.normalizes and self.chunks.step < self.cfg.train_size

    @cached_property
    def family(self) -> Hashable:
        """What is the same for points whose costs differ by nothing but width and sizes of sets."""
        data = (self.spec.input_shape, self.spec.n_outputs, self.spec.task)
        settings = (self.cfg.dtype, self.cfg.chunk_size, str(self.device), self.threads)
        measures = tuple(sorted(self.cfg.measures.functions.items()))
        return (
            repr((self.cfg.model, self.cfg.loss, self.cfg.optim, self.cfg.measures.batch_norm)),
            *data,
            *settings,
            measures,
            self.several_chunks,
        )


def set_up(
    point: CheckedPoint, plans: dict[Hashable, EngineChoice], workers: int, threads: int | None
) -> Setup:
    """Find out how a point will be computed.

    Args:
        point: The grid point.
        plans: Plans of networks tried before, by what they depend on; new ones are added.
        workers: Processes that work side by side.
        threads: Of a run that does not say how many it wants; None for its share of the cores.
    """
    cfg, cores = point.cfg, available_cores()
    spec, device = distribution(cfg.data).spec, choose_device(cfg.device)
    data = (spec.input_shape, spec.n_outputs, spec.task)
    engine = (cfg.dtype, cfg.kernels, cfg.memory_limit, device)
    trained = (cfg.training.may_be_random, cfg.measures.batch_norm)
    key = (repr((cfg.model, cfg.loss)), cfg.ch, *trained, *engine, *data)
    if key not in plans:
        plans[key] = plan_passes(cfg, spec, device)
    wanted = cfg.threads or threads or max(1, cores // workers)
    used = 1 if device.type == "cuda" else min(wanted, cfg.n_sets, cores)
    crowding = max(1.0, workers * used / cores)
    chunks = plans[key].chunks(cfg.engine)
    return Setup(point, spec, plans[key], chunks, device, used, crowding)


@dataclass(frozen=True)
class Timing:
    """Seconds of one replica's work, by sample and FLOP of a sample's forward pass.

    Attributes:
        step: A pass over the training set, by the steps of the training rule.
        measurement: A step that is measured on the training set before and after.
        losses: Losses of further samples.
    """

    step: float
    measurement: float
    losses: float

    def seconds(self, setup: Setup) -> float:
        """Predict a point's wall time."""
        cfg, schedule = setup.cfg, setup.cfg.measured_epochs
        # With gradient descent a measured step is one of the training's.
        taken = sum(epoch < cfg.epochs for epoch in schedule) if cfg.rule is None else 0
        steps = cfg.epochs - taken
        replica = cfg.train_size * (steps * self.step + len(schedule) * self.measurement)
        looks = network_looks(cfg, len(schedule)) * sum(network_costs(cfg).values())
        replica += (len(schedule) * 2 * cfg.n_test + looks) * self.losses
        rounds = math.ceil(cfg.n_sets / setup.threads)
        return _START_S + setup.crowding * rounds * setup.forward_flops * replica


def time_trial(setup: Setup, flops: float) -> Timing:
    """Time a point's network.

    Args:
        setup: The point.
        flops: About how many to spend; a few samples of a large network may take more.
    """
    cfg, spec = setup.cfg, setup.spec
    fewest = _FEWEST_IN_LANES if setup.plan.explicit else _FEWEST
    most = max(fewest, min(int(flops / (_PASSES * setup.forward_flops)), _MOST_SAMPLES))
    n, n_test = min(cfg.train_size, most), min(cfg.n_test, most)
    if cfg.rule is not None and n > cfg.rule.batch_size:
        n -= n % cfg.rule.batch_size  # whole mini-batches
    drawn = example_sets(cfg, spec, n, n_test)
    train, test = (samples.to(setup.device) for samples in (drawn.train[0], drawn.test))
    model = build_model(cfg.model, cfg.ch, spec.input_shape, spec.n_outputs, seed=0)

    def build(n_sets: int) -> Ensemble:
        chunk = math.ceil(n / 2) if setup.several_chunks else cfg.chunk_size
        trial = replace(
            without_confusion(cfg), n=n, n_sets=n_sets, threads=setup.threads, chunk_size=chunk
        )
        trial = replace(trial, epochs=1, measure_at=[0, 1])
        sets = RunSets([train] * n_sets, Samples(test.x[:1], test.y[:1]))
        return Ensemble(model, sets, spec.task, trial.training, setup.device)

    n_sets = setup.threads
    ensemble = build(n_sets)
    if ensemble.is_batched:  # replicas that step together cost less each the more there are
        n_sets = min(cfg.n_sets, max(n_sets, _MOST_BATCHED))
        ensemble = build(n_sets)
    measures = load_measures(cfg.measures.functions, cfg.measures.of_networks)
    # Measures of trained networks make many passes: their number is known, and a pass is timed.
    of_steps = {name: m for name, m in measures.items() if name not in network_measures(measures)}
    snapshots = ensemble.run(wanted=requirements_of(of_steps))
    measurement = _shortest(lambda: next(snapshots), setup)
    snapshots.close()  # type: ignore[attr-defined]
    with ensemble.stepping() as steps:
        step = _shortest(lambda: steps.take(ensemble.steps_an_epoch), setup)
    losses = _shortest(lambda: ensemble.replicas[0].losses(test), setup)
    replica = math.ceil(n_sets / setup.threads) * setup.forward_flops
    return Timing(
        step / replica / n, measurement / replica / n, losses / setup.forward_flops / n_test
    )


def _shortest(work: Callable[[], object], setup: Setup) -> float:
    """Return the seconds of the faster of two turns: the first pays for what the second finds.

    Where one thread does everything these are its own seconds: what else happens to run on this
    machine just now says little about the hours of a sweep.
    """
    alone = setup.device.type == "cpu" and setup.threads == 1
    clock = time.thread_time if alone else time.perf_counter
    seconds = []
    for _ in range(2):
        started = clock()
        work()
        if setup.device.type == "cuda":
            torch.cuda.synchronize(setup.device)
        seconds.append(clock() - started)
    return min(seconds)
