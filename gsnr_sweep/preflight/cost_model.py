"""Seconds and bytes of grid points, from their networks and a moment's timing on this machine."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch

from gsnr_sweep.config.schedule import epochs_of
from gsnr_sweep.config.schema import Config
from gsnr_sweep.config.schema import memory_bytes as parse_memory
from gsnr_sweep.data.base import DataSpec
from gsnr_sweep.data.registry import distribution
from gsnr_sweep.data.settings import NpzConfig
from gsnr_sweep.engine.chunking import ChunkSizes
from gsnr_sweep.preflight.check import extra_passes
from gsnr_sweep.preflight.memory import Network, memory_bytes
from gsnr_sweep.preflight.microbenchmark import Cost, PassCosts, calibrate
from gsnr_sweep.runs.device import available_cores, choose_device

if TYPE_CHECKING:
    from gsnr_sweep.preflight.check import CheckedPoint

log = logging.getLogger(__name__)

T = TypeVar("T")

BUDGET_S = 0.25
"""Seconds that all timing together may take, about; a whole one gave no steadier estimates."""

# Seconds beside training and measuring, measured on this project's machine: status and record;
# reading scikit-learn's digits and enlarging them; reading a pool, by its values, and taking the
# mean and deviation of a user's own arrays; drawing and hashing a sample, by its values; the
# measures, by replica and parameter.
_START_S = 0.05
_DIGITS_S = 0.03
_READING_S = 3e-9
_STANDARDIZING_S = 25e-9
_DRAWING_S = 9e-9
_MEASURES_S = 80e-9


@dataclass(frozen=True)
class Setup:
    """A grid point as it will be computed.

    Attributes:
        point: The grid point.
        spec: Its data.
        network: Its network.
        chunks: Samples in a pass.
        device: Where it computes.
        threads: Replicas worked on side by side.
        crowding: Busy threads of all workers by core, at least 1.
    """

    point: CheckedPoint
    spec: DataSpec
    network: Network
    chunks: ChunkSizes
    device: torch.device
    threads: int
    crowding: float

    @property
    def cfg(self) -> Config:
        """Return the point's config."""
        return self.point.cfg

    @property
    def several_chunks(self) -> bool:
        """Whether batch normalization takes a pass a layer for its statistics."""
        return self.network.normalizes and self.chunks.step < self.cfg.n

    @property
    def family(self) -> Hashable:
        """Identify the points whose costs differ by nothing but width and sizes of sets."""
        data = (self.spec.input_shape, self.spec.n_outputs, self.spec.task)
        settings = (self.cfg.dtype, self.cfg.chunk_size, str(self.device), self.threads)
        return (repr(self.cfg.model), *data, *settings, self.several_chunks)


class Networks:
    """Builds each different network once."""

    def __init__(self) -> None:
        """Start with none."""
        self._built: dict[Hashable, Network] = {}

    def set_up(self, point: CheckedPoint, workers: int, threads: int | None) -> Setup:
        """Find out how a point will be computed.

        Args:
            point: The grid point.
            workers: Processes that work side by side.
            threads: Of a run that does not say how many it wants; None for its share of the cores.
        """
        cfg, cores = point.cfg, available_cores()
        spec, device = distribution(cfg.data).spec, choose_device(cfg.device)
        network = self._network(cfg, spec, device)
        wanted = cfg.threads or threads or max(1, cores // workers)
        used = 1 if device.type == "cuda" else min(wanted, cfg.n_sets, cores)
        crowding = max(1.0, workers * used / cores)
        return Setup(point, spec, network, network.chunks(cfg), device, used, crowding)

    def _network(self, cfg: Config, spec: DataSpec, device: torch.device) -> Network:
        data = (spec.input_shape, spec.n_outputs, spec.task)
        key = (repr(cfg.model), cfg.ch, cfg.dtype, device, *data)
        if key not in self._built:
            self._built[key] = Network.build(cfg, spec, device)
        return self._built[key]


def predict(
    points: Sequence[CheckedPoint], timed: Sequence[bool], workers: int, threads: int | None
) -> list[tuple[int, float | None]]:
    """Predict memory and wall time; never raises.

    Args:
        points: The grid points.
        timed: Of which of them the wall time is wanted.
        workers: Processes that work side by side.
        threads: Of a run that does not say how many it wants.

    Returns:
        Bytes, and seconds or None, of each point.
    """
    networks = Networks()
    setups = [_try(networks.set_up, point, workers, threads) for point in points]
    families: dict[Hashable, list[Setup]] = {}
    for setup, wanted in zip(setups, timed, strict=True):
        if setup is not None and wanted:
            families.setdefault(setup.family, []).append(setup)
    trials = sum(len(_extremes(family)) for family in families.values())
    costs = {
        key: _try(FamilyCosts.timed, family, BUDGET_S / trials) for key, family in families.items()
    }
    return [
        (_memory(point, setup), _seconds(setup, costs.get(setup.family)) if setup else None)
        for point, setup in zip(points, setups, strict=True)
    ]


def _try(work: Callable[..., T], *arguments: object) -> T | None:
    """Return what `work` returns, or None if it fails, which is no reason to stop a launch."""
    try:
        return work(*arguments)
    except Exception:
        log.debug("no estimate", exc_info=True)
        return None


def _memory(point: CheckedPoint, setup: Setup | None) -> int:
    if setup is None:  # then all that is known is what a pass may use
        return parse_memory(point.cfg.memory_limit)
    return memory_bytes(setup.cfg, setup.spec, setup.network, setup.chunks, setup.threads)


def _extremes(family: Sequence[Setup]) -> list[Setup]:
    """Return the points to be timed: the narrowest and the widest, of each the largest set."""
    ordered = sorted(family, key=lambda setup: (setup.cfg.ch, setup.cfg.n))
    widths = {setup.cfg.ch: setup for setup in ordered}
    return [widths[ch] for ch in sorted({min(widths), max(widths)})]


@dataclass(frozen=True)
class FamilyCosts:
    """Timed networks of one family.

    Attributes:
        narrow: The narrowest.
        wide: The widest, which may be the same.
    """

    narrow: TimedNetwork
    wide: TimedNetwork

    @classmethod
    def timed(cls, family: Sequence[Setup], budget: float) -> FamilyCosts:
        """Time the extremes of a family, `budget` seconds each."""
        found = [TimedNetwork.of(setup, budget) for setup in _extremes(family)]
        return cls(found[0], found[-1])

    def at(self, ch: int, forward_flops: float) -> PassCosts:
        """Interpolate to a width: FLOP/s in logarithms, the rest as it is."""
        a, b = self.narrow, self.wide
        place = math.log(ch / a.ch) / math.log(b.ch / a.ch) if b.ch > a.ch else 0.0

        def between(low: Cost, high: Cost) -> Cost:
            slow = math.log(low.sample / a.forward_flops) * (1 - place)
            slow += math.log(high.sample / b.forward_flops) * place
            chunk = low.chunk * (1 - place) + high.chunk * place
            return Cost(chunk, math.exp(slow) * max(forward_flops, 1.0))

        low, high = a.costs, b.costs
        return PassCosts(
            between(low.step, high.step),
            between(low.measured, high.measured),
            between(low.losses, high.losses),
        )


@dataclass(frozen=True)
class TimedNetwork:
    """What one width costs."""

    ch: int
    forward_flops: float
    costs: PassCosts

    @classmethod
    def of(cls, setup: Setup, budget: float) -> TimedNetwork:
        """Time a point's network for `budget` seconds."""
        costs = calibrate(
            setup.cfg, setup.spec, setup.device, setup.threads, setup.several_chunks, budget
        )
        return cls(setup.cfg.ch, max(setup.point.forward_flops, 1.0), costs)


def _seconds(setup: Setup, family: FamilyCosts | None) -> float | None:
    if family is None:
        return None
    cfg, chunks = setup.cfg, setup.chunks
    costs = family.at(cfg.ch, setup.point.forward_flops)
    schedule = epochs_of(cfg.measure_at, cfg.epochs)
    steps = cfg.epochs - sum(epoch < cfg.epochs for epoch in schedule)
    k = setup.threads
    measured = costs.measured.seconds(cfg.n, chunks.step, k)
    measured += extra_passes(cfg.measures) / 3 * costs.step.seconds(cfg.n, chunks.step, k)
    measured += 2 * costs.losses.seconds(cfg.n_test, chunks.losses, k)
    replica = steps * costs.step.seconds(cfg.n, chunks.step, k) + len(schedule) * measured
    rounds = math.ceil(cfg.n_sets / setup.threads)
    return setup.crowding * (rounds * replica + _measures_seconds(setup)) + _data_seconds(setup)


def _measures_seconds(setup: Setup) -> float:
    values = setup.cfg.n_sets * setup.network.n_parameters
    schedule = epochs_of(setup.cfg.measure_at, setup.cfg.epochs)
    return len(schedule) * values * _MEASURES_S


def _data_seconds(setup: Setup) -> float:
    cfg, spec = setup.cfg, setup.spec
    drawn = (cfg.n_sets * cfg.n + cfg.n_test) * _DRAWING_S
    read = (spec.n_train or 0) * _READING_S
    if isinstance(cfg.data, NpzConfig) and cfg.data.standardize:
        read += (spec.n_train or 0) * _STANDARDIZING_S
    start = _START_S + (_DIGITS_S if spec.name == "digits" else 0.0)
    return start + (drawn + read) * math.prod(spec.input_shape)
