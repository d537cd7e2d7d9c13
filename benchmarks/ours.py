"""Every call into the engine: how this project itself does what its peers are timed at.

If the engine's interface changes, this is the only file of the benchmarks to follow.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.machine import cores
from benchmarks.memory import added_by
from benchmarks.peers.mini_batches import BATCH, LR, MOMENTUM, STEPS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.workloads import Workload
    from gsnr_sweep.config.compose import Composer
    from gsnr_sweep.config.schema import Config
    from gsnr_sweep.training.ensemble import Ensemble
    from gsnr_sweep.training.replica import Replica

CONF = Path(__file__).parents[1] / "conf"
_OVERRIDES = {
    "table2_cnn": ("model=table2_cnn",),
    "table3_cnn": ("model=table3_cnn",),
    "resnet18": ("model=resnet18",),
    "mlp": ("model=mlp", "+model.args.depth=2"),
    "perceptron": ("model=mlp",),
    "vgg": ("model=vgg", "model.args.stages=3"),
    "vgg_bn": ("model=vgg", "model.args.stages=3", "model.args.batch_norm=true"),
    "toy_mlp": ("data=toy",),
}


@lru_cache
def _composer() -> Composer:
    from gsnr_sweep.config.grid import CommandLine, composer_of

    return composer_of(CommandLine.parse((), CONF))


def typed_config(*overrides: str) -> Config:
    """Compose a run's config as the command line does."""
    point = _composer().point(overrides)
    if point.cfg is None:
        raise ValueError(point.problem)
    return point.cfg


def grid_size(overrides: Sequence[str]) -> int:
    """Count the points of a grid."""
    from gsnr_sweep.config.grid import CommandLine, expand

    return len(expand(CommandLine.parse(["-m", *overrides], CONF)).points)


def config(
    workload: Workload,
    epochs: int = 1,
    dtype: str = "float32",
    more: Sequence[str] = (),
    device: str = "cpu",
) -> Config:
    """Return the config of a run of some epochs, one replica to a thread, on all cores."""
    return typed_config(
        *_OVERRIDES[workload.model],
        *more,
        f"ch={workload.ch}",
        f"n={workload.n}",
        f"n_sets={workload.n_sets}",
        f"epochs={epochs}",
        f"measure_at=[{epochs}]",
        f"threads={cores()}",
        f"dtype={dtype}",
        f"device={device}",
        "tracking=none",
    )


def ensemble(
    workload: Workload,
    epochs: int = 1,
    dtype: str = "float32",
    more: Sequence[str] = (),
    device: str = "cpu",
) -> Ensemble:
    """Build the replicas."""
    from gsnr_sweep.training.ensemble import Ensemble

    cfg = config(workload, epochs, dtype, more, device)
    place = torch.device(device)
    return Ensemble(workload.initial(), workload.sets(), workload.task, cfg.training, place)


class Normalization:
    """The gradient of one replica through its set's statistics, within a limit of memory."""

    def __init__(self, workload: Workload, memory_limit: str) -> None:
        """Build the replica."""
        torch.set_num_threads(1)
        built = ensemble(workload, more=(f"memory_limit={memory_limit}",))
        self._replica = built.replicas[0]
        self._chunk = built.chunks.normalized or built.chunks.step

    def describe(self) -> str:
        """Say how many samples go through the network at a time."""
        return f"{self._chunk:,}"

    def gradient(self) -> None:
        """Compute it."""
        self._replica.gradient()

    def statistics(self) -> None:
        """Compute the statistics alone."""
        self._replica.engine.fix_statistics(self._replica.train)


class Training:
    """The engine's training: epochs of M replicas in its own threads, nothing measured."""

    def __init__(self, workload: Workload, epochs: int, dtype: str = "float32") -> None:
        """Build the replicas."""
        torch.set_num_threads(1)
        self._epochs = epochs
        self._ensemble = ensemble(workload, epochs, dtype)

    def tune(self) -> str:
        """Nothing to choose: the engine chooses for itself."""
        return f"as it comes; {cores()} threads"

    def numbers(self) -> NDArray[np.float64]:
        """Return the gradients of the first and the last replica, [2, P]."""
        replicas = self._ensemble.replicas
        return np.stack([_flat(replica.gradient()) for replica in (replicas[0], replicas[-1])])

    def work(self) -> None:
        """Train for the epochs, from wherever the weights are."""
        list(self._ensemble.run(measured=[self._epochs]))


class GpuTraining:
    """The engine's training on a GPU, or on a CPU to rehearse."""

    def __init__(
        self, workload: Workload, epochs: int, device: str, graphs: bool, tf32: bool
    ) -> None:
        """Build the replicas.

        Args:
            workload: What is trained.
            epochs: Of a turn.
            device: ``cuda`` or ``cpu``.
            graphs: Whether steps may be captured as CUDA graphs.
            tf32: Whether matrix products may round to TF32.
        """
        from gsnr_sweep.engine.batched import replicas
        from gsnr_sweep.runs.device import set_exact_arithmetic

        if not graphs:
            replicas.captured = lambda step, *_: step
        set_exact_arithmetic(tf32)
        self._workload, self._device = workload, device
        self._ensemble = ensemble(workload, 10**6, device=device)
        self._epochs, self._stepping = epochs, contextlib.ExitStack()
        self._steps = self._stepping.enter_context(self._ensemble.stepping())

    def work(self) -> None:
        """Train for the epochs, from wherever the weights are."""
        self._steps.take(self._epochs * self._ensemble.steps_an_epoch)
        self._wait()

    def _wait(self) -> None:
        if self._device == "cuda":
            torch.cuda.synchronize()

    def moments(self) -> float:
        """Return the seconds of the moments of all replicas, the second time."""
        for _ in range(2):
            started = time.perf_counter()
            for replica in self._ensemble.replicas:
                replica.fix_statistics()
                replica.moments(signs=True)
            self._wait()
        return time.perf_counter() - started

    def flops(self) -> float:
        """Return the operations of an epoch."""
        from benchmarks.agreement import Reference

        workload = self._workload
        return float(Reference().flops(workload) * workload.n * workload.n_sets)

    def memory(self) -> int:
        """Return the bytes that the allocator held at most."""
        return torch.cuda.max_memory_allocated() if self._device == "cuda" else 0


class MiniBatches:
    """The engine's training by SGD with momentum, nothing measured."""

    def __init__(self, workload: Workload, epochs: int, dtype: str = "float32") -> None:
        """Build the replicas."""
        torch.set_num_threads(1)
        rule = ("optim=sgd", f"optim.batch_size={min(BATCH, workload.n)}", f"lr={LR}")
        more = (*rule, f"optim.args.momentum={MOMENTUM}")
        self._replicas = ensemble(workload, 10**6, dtype, more)
        self._epochs, self._stepping = epochs, contextlib.ExitStack()
        self._steps = self._stepping.enter_context(self._replicas.stepping())

    def tune(self) -> str:
        """Nothing to choose: the engine chooses for itself."""
        count = min(cores(), len(self._replicas.replicas))
        return f"as it comes; at most {count} thread{'s' if count > 1 else ''}"

    def numbers(self) -> NDArray[np.float64]:
        """Return how far some steps move the first and the last replica's weights, [2, P]."""
        ends = (self._replicas.replicas[0], self._replicas.replicas[-1])
        before = [_flat(replica.weights) for replica in ends]
        self._steps.take(min(STEPS, self._replicas.steps_an_epoch))
        return np.stack([_flat(r.weights) for r in ends]) - np.stack(before)

    def work(self) -> None:
        """Train for the epochs, from wherever the weights are."""
        self._steps.take(self._epochs * self._replicas.steps_an_epoch)


class MomentPasses:
    """The engine's moments: one pass for each replica, the replicas side by side."""

    def __init__(self, workload: Workload, dtype: str = "float32") -> None:
        """Build the replicas and fix the statistics of batch normalization."""
        torch.set_num_threads(1)
        self._replicas = ensemble(workload, dtype=dtype).replicas
        for replica in self._replicas:
            replica.fix_statistics()
        self._threads = min(cores(), len(self._replicas))
        self._pool = ThreadPoolExecutor(  # kept, as a run keeps its threads
            self._threads, initializer=torch.set_num_threads, initargs=(1,)
        )

    def tune(self) -> str:
        """Nothing to choose: the engine chooses for itself."""
        return f"as it comes; {self._threads} threads"

    def numbers(self) -> NDArray[np.float64]:
        """Return Σ g and Σ g² of the first replica, [2, P]."""
        moments, _ = self._replicas[0].moments(signs=False)
        return np.stack([moments.sum.numpy(), moments.sum_of_squares.numpy()])

    def work(self) -> None:
        """Make the passes."""
        list(self._pool.map(_moments, self._replicas))


def _moments(replica: Replica) -> None:
    replica.moments(signs=False)


class ApiCall:
    """One call of the Python interface, as a user makes it."""

    def __init__(self, workload: Workload, dtype: str = "float32") -> None:
        """Build a user's network, its batch normalization with running statistics, and a set."""
        from benchmarks.peers.networks import fix_statistics, plain_network

        torch.set_num_threads(cores())
        ((self._x, self._y),) = workload.tensors(dtype)
        self._model = fix_statistics(plain_network(workload, dtype), self._x)

    def _call(self) -> tuple[str, Iterable[torch.Tensor], Iterable[torch.Tensor]]:
        from gsnr_sweep import gradient_statistics

        stats = gradient_statistics(self._model, (self._x, self._y))
        return stats.method, stats.mean.values(), stats.variance.values()

    def tune(self) -> str:
        """Nothing to choose; say what is chosen."""
        return f"as it comes: {self._call()[0]}"

    def numbers(self) -> NDArray[np.float64]:
        """Return mean and variance of g, [2, P]."""
        _, mean, variance = self._call()
        return np.stack([_flat(list(mean)), _flat(list(variance))])

    def work(self) -> None:
        """Make the call."""
        self._call()


def _flat(tensors: list[torch.Tensor]) -> NDArray[np.float64]:
    flat = torch.cat([tensor.double().flatten() for tensor in tensors])
    return np.asarray(flat.numpy(), dtype=np.float64)


@dataclass(frozen=True)
class Cost:
    """What a whole run took.

    Attributes:
        seconds: Training and measuring, without drawing the data and starting.
        peak: Bytes above those of the process before; NaN where that cannot be read.
        parameters: Trained parameters of a replica.
    """

    seconds: float
    peak: float
    parameters: int


def both_sides(*overrides: str) -> list[tuple[float, float, float]]:
    """Run a grid point; return each measured epoch with both sides of eq. (19)."""
    from gsnr_sweep.runs.runner import run_point

    with tempfile.TemporaryDirectory() as folder:
        found = run_point(typed_config(*overrides, "tracking=none"), Path(folder)).record
    keys = ("osgr_lhs", "osgr_rhs")
    return [(one.epoch, *(one.metrics[key] for key in keys)) for one in found.measurements]  # type: ignore[misc]


def _run(*overrides: str) -> dict[str, Any]:
    """Run a grid point in a temporary folder and return its summary."""
    from gsnr_sweep.runs.runner import run_point

    cfg = typed_config(*overrides, "tracking=none", f"threads={cores()}")
    with tempfile.TemporaryDirectory() as folder:
        return run_point(cfg, Path(folder)).record.summary


class WholeRun:
    """A whole grid point without tracking, in this process."""

    def cost(self, *overrides: str) -> Cost:
        """Run it, after a tiny run that loads what is loaded only once."""
        _run("n=10", "n_sets=1", "n_test=10", "ch=2", "epochs=1", "measure_at=[1]")
        summary: dict[str, Any] = {}
        peak = added_by(lambda: summary.update(_run(*overrides)))
        return Cost(
            seconds=summary["wall_time_s"] - summary["overhead_s"],
            peak=math.nan if peak is None else peak,
            parameters=int(summary["n_parameters"]),
        )

    def stated_memory(self, *overrides: str) -> int:
        """Return the bytes that the tool's plan states for a run, the whole process's."""
        from gsnr_sweep.config.grid import CommandLine, expand
        from gsnr_sweep.preflight.check import check
        from gsnr_sweep.preflight.cost import estimate

        points = check(expand(CommandLine.parse(overrides, CONF)).points)
        return estimate(points, [])[0].memory_bytes
