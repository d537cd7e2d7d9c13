"""What a grid point will cost: time and memory, before it runs.

Time comes from finished runs of the same network, data and device where there are any, else from
a step and a measurement timed on this machine (`gsnr_sweep.preflight.timing`); it is right within
about a factor of two. Memory is counted (`gsnr_sweep.preflight.memory`), unless this very point has
been run before.
"""

from __future__ import annotations

import logging
import math
import statistics
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from gsnr_sweep.config.schema import Config
from gsnr_sweep.config.schema import memory_bytes as parse_memory
from gsnr_sweep.preflight.check import sample_passes
from gsnr_sweep.preflight.size_check import can_be_tried, memory_of_weights
from gsnr_sweep.user_code import UserCodeError, call

if TYPE_CHECKING:
    from gsnr_sweep.engine.selection import EngineChoice
    from gsnr_sweep.preflight.check import CheckedPoint

log = logging.getLogger(__name__)

T = TypeVar("T")

UNKNOWN = "unknown"
TIMED = "timing"

_MOST_OBSERVED = 5
_FAR = 8.0  # times the FLOPs: beyond, fixed costs or caches make rates differ
_SAME_POINT = 0.01  # relative difference of FLOPs below which a finished run was this very point


@dataclass(frozen=True)
class Estimate:
    """What a run will cost.

    Attributes:
        flops: Floating-point operations.
        memory_bytes: Largest memory: the process's, or the GPU's for a run on a GPU.
        seconds: Wall time from drawing the data to the record; None if unknown.
        basis: What `seconds` rests on: ``3 finished runs``, ``timing`` or ``unknown``.
        at_most: Whether a stopping rule may end the run before the last epoch, which is counted.
    """

    flops: float
    memory_bytes: int
    seconds: float | None
    basis: str
    at_most: bool = False


@dataclass(frozen=True)
class Observed:
    """What a finished run did cost.

    Attributes:
        model: The network's name.
        data: The data set's name.
        ch: Width.
        flops: As `CheckedPoint.flops` estimates them for its settings.
        seconds: Its wall time.
        peak_memory_bytes: Its largest memory.
        device: As `gsnr_sweep.runs.device.describe_device` names it.
    """

    model: str
    data: str
    ch: int
    flops: float
    seconds: float
    peak_memory_bytes: int
    device: str


def estimate(
    points: Sequence[CheckedPoint],
    observed: Sequence[Observed],
    workers: int = 1,
    threads: int | None = None,
) -> list[Estimate]:
    """Estimate the cost of grid points.

    Takes about half a second where something must be timed, whatever the number of points. Nothing
    that goes wrong here raises: a time that cannot be had is None.

    Args:
        points: The grid points.
        observed: Finished runs to go by.
        workers: Processes that work side by side on a machine like this one.
        threads: Of a run that does not say how many it wants; None for its share of the cores.

    Returns:
        One estimate a point, in their order.
    """
    runs = [_Runs.nearest(point, observed) for point in points]
    counted = _counted(points, [known.seconds is None for known in runs], workers, threads)
    return [
        Estimate(
            flops=point.flops,
            memory_bytes=known.memory_bytes or memory,
            seconds=predicted if known.seconds is None else known.seconds,
            basis=known.basis or (UNKNOWN if predicted is None else TIMED),
            at_most=bool(point.cfg.stop.rules),
        )
        for point, known, (memory, predicted) in zip(points, runs, counted, strict=True)
    ]


def remaining(whole: Estimate, cfg: Config, epoch: int) -> Estimate:
    """Return what is left of a run that goes on from its checkpoint at `epoch`; memory stays."""
    share = sample_passes(cfg, first=epoch) / sample_passes(cfg)
    seconds = None if whole.seconds is None else whole.seconds * share
    return replace(whole, flops=whole.flops * share, seconds=seconds)


@dataclass(frozen=True)
class _Runs:
    """What finished runs tell of a point.

    Attributes:
        seconds: Its wall time at their rate; None without such runs.
        basis: How many there are; empty if none.
        memory_bytes: Memory of runs of this very point; None if there is none.
    """

    seconds: float | None = None
    basis: str = ""
    memory_bytes: int | None = None

    @classmethod
    def nearest(cls, point: CheckedPoint, observed: Iterable[Observed]) -> _Runs:
        """Go by the median rate of the runs nearest in width, of these the nearest in FLOPs."""
        alike = _alike(point, observed)
        if not alike:
            return cls()
        width = min(_apart(run.ch, point.cfg.ch) for run in alike)
        alike = [run for run in alike if _apart(run.ch, point.cfg.ch) == width]
        alike = sorted(alike, key=lambda run: _apart(run.flops, point.flops))[:_MOST_OBSERVED]
        rate = statistics.median(run.flops / run.seconds for run in alike)
        basis = "1 finished run" if len(alike) == 1 else f"{len(alike)} finished runs"
        same = [run.peak_memory_bytes for run in alike if _is_same(run, point)]
        memory = int(statistics.median(same)) if same else None
        return cls(point.flops / rate, basis, memory)


def _alike(point: CheckedPoint, observed: Iterable[Observed]) -> list[Observed]:
    """Choose the runs of the same network and data on the same device, of similar size."""
    wanted = (point.cfg.model.name, point.cfg.data.name)
    runs = [
        run
        for run in observed
        if (run.model, run.data) == wanted and min(run.flops, run.seconds, run.ch) > 0
    ]
    if not runs or point.flops <= 0:
        return []
    device = _device_name(point.cfg.device)
    near = [run for run in runs if _apart(run.flops, point.flops) <= math.log(_FAR)]
    return [run for run in near if run.device == device]


def _device_name(name: str) -> str | None:
    from gsnr_sweep.runs.device import choose_device, describe_device

    try:
        return describe_device(choose_device(name))
    except Exception:  # an estimate is no place to complain about a device
        return None


def _apart(a: float, b: float) -> float:
    return abs(math.log(a / b))


def _is_same(run: Observed, point: CheckedPoint) -> bool:
    alike = math.isclose(run.flops, point.flops, rel_tol=_SAME_POINT)
    return alike and run.ch == point.cfg.ch and run.peak_memory_bytes > 0


def _counted(
    points: Sequence[CheckedPoint],
    timed: Sequence[bool],
    workers: int,
    threads: int | None,
) -> list[tuple[int, float | None]]:
    """Return the points' memory and, where it is asked for, their seconds; never raises.

    This happens on one core, as runs do it.
    """
    from gsnr_sweep.runs.device import on_one_core

    return on_one_core(_count, points, timed, workers, threads)


def _count(
    points: Sequence[CheckedPoint], timed: Sequence[bool], workers: int, threads: int | None
) -> list[tuple[int, float | None]]:
    from gsnr_sweep.preflight.timing import TRIAL_FLOPS, Setup, set_up, time_trial

    plans: dict[Hashable, EngineChoice] = {}
    setups = [
        _try(set_up, point, plans, workers, threads) if can_be_tried(point.n_parameters) else None
        for point in points
    ]
    largest: dict[Hashable, Setup] = {}
    for setup, wanted in zip(setups, timed, strict=True):
        if setup is not None and wanted:
            known = largest.setdefault(setup.family, setup)
            largest[setup.family] = max(known, setup, key=lambda one: one.size)
    timings = {
        family: _try(time_trial, setup, TRIAL_FLOPS / len(largest))
        for family, setup in largest.items()
    }
    counted: list[tuple[int, float | None]] = []
    for point, setup in zip(points, setups, strict=True):
        if setup is None:  # then all that is known is what a pass may use, and weights
            least = parse_memory(point.cfg.memory_limit) + memory_of_weights(point.n_parameters)
            counted.append((least, None))
        else:
            timing = timings.get(setup.family)
            counted.append((setup.memory_bytes, timing.seconds(setup) if timing else None))
    return counted


def _try(work: Callable[..., T], *arguments: object) -> T | None:
    """Return what `work` returns, or None if it fails, which is no reason to stop a launch."""
    try:
        return call("the estimate of its cost", work, *arguments)
    except UserCodeError:
        log.debug("no estimate", exc_info=True)
        return None
