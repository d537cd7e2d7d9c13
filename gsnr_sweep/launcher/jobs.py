"""Who does the work of a sweep: how many jobs and processes, and what each is given."""

from __future__ import annotations

import heapq
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from gsnr_sweep.launcher.backends.base import Backend
from gsnr_sweep.launcher.settings import LocalSettings, Settings, SlurmSettings
from gsnr_sweep.launcher.worker import Worker
from gsnr_sweep.machine import memory_limit
from gsnr_sweep.records.manifest import Manifest, SweepRun
from gsnr_sweep.runs.device import available_cores

_SECONDS_OF_MARGIN = 15.0
_SHORTEST_GRACE = 5.0


class JobPool:
    """The jobs of a sweep, on this machine or on a cluster.

    On this machine all processes work through one list, so that none is idle while another has
    runs left. On a cluster each job gets its own share, which its processes work through together.
    """

    def __init__(self, manifest: Manifest, settings: Settings) -> None:
        """Choose a backend.

        Args:
            manifest: The sweep.
            settings: Of the launcher.
        """
        self._manifest = manifest
        self._settings = settings
        self.shared = isinstance(settings, LocalSettings)
        self.backend = make_backend(manifest.folder, settings)
        runs = manifest.to_run()
        self._gpus = _gpus(settings)
        self.sharing_memory = 1
        self.at_once = min(self._local_workers(), len(runs)) if self.shared else len(self._packs())

    @staticmethod
    def place(settings: Settings) -> str:
        """Return ``local`` or ``slurm``."""
        return "slurm" if isinstance(settings, SlurmSettings) else "local"

    @property
    def side_by_side(self) -> int:
        """How many processes work at a time, at most."""
        settings = self._settings
        if isinstance(settings, SlurmSettings):
            jobs = min(settings.array_parallelism or self.at_once, self.at_once)
            return max(1, jobs * (settings.workers or 1))
        return max(1, self.at_once)

    @property
    def memory(self) -> int | None:
        """Bytes that the processes have together; None where they are elsewhere, or on GPUs."""
        return memory_limit() if self.shared and not self._gpus else None

    @property
    def threads(self) -> int:
        """Threads of each process."""
        return self._settings.threads_per_worker

    def job_numbers(self) -> dict[int, int]:
        """Return the number of the job, from 1, that each run is packed into.

        On this machine the runs are one list; the numbers say which process would take which if all
        went as estimated.
        """
        runs = self._manifest.to_run()
        if self.shared:
            jobs = pack(runs, math.ceil(len(runs) / max(self.at_once, 1)) or 1)
        else:
            jobs = self._packs()
        return {run.index: number for number, job in enumerate(jobs, 1) for run in job}

    def describe(self) -> str:
        """Say how the runs are spread, in words."""
        settings = self._settings
        threads = _count(settings.threads_per_worker, "thread")
        if isinstance(settings, SlurmSettings):
            workers = _count(settings.workers or 1, "process", "processes")
            partition = f", partition {settings.partition}" if settings.partition else ""
            jobs = _count(len(self._packs()), "job")
            return f"{jobs} of {workers} of {threads} on SLURM{partition}"
        gpus = f", GPUs {', '.join(map(str, self._gpus))}" if self._gpus else ""
        processes = _count(max(self.at_once, 1), "process", "processes")
        return f"{processes} of {threads} on this machine{gpus}"

    def workers(self, runs: Sequence[SweepRun], most: int) -> list[Worker]:
        """Make the jobs for some runs.

        Args:
            runs: The runs.
            most: How many jobs to make where they share a list; without meaning on a cluster.
        """
        if self.shared:
            costliest_first = sorted(runs, key=lambda run: -run.cost)
            return [self._worker(costliest_first, slot) for slot in range(most)]
        return [self._worker(share, 0) for share in pack(runs, self._runs_per_job)]

    def _worker(self, runs: Sequence[SweepRun], slot: int) -> Worker:
        settings = self._settings
        delay = settings.signal_delay_s if isinstance(settings, SlurmSettings) else 0
        return Worker(
            folder=str(self._manifest.folder),
            runs=[run.index for run in runs],
            threads=settings.threads_per_worker,
            path=own_path(),
            gpus=self._gpus,
            slot=slot,
            limit=settings.runs_per_job if self.shared else None,
            sharing_memory=self.sharing_memory,
            grace=max(delay - _SECONDS_OF_MARGIN, _SHORTEST_GRACE),
        )

    def _packs(self) -> list[list[SweepRun]]:
        return pack(self._manifest.to_run(), self._runs_per_job)

    @property
    def _runs_per_job(self) -> int:
        return self._settings.runs_per_job or self._settings.workers or 1

    def _local_workers(self) -> int:
        by_cores = max(1, available_cores() // self._settings.threads_per_worker)
        return self._settings.workers or len(self._gpus) or by_cores


def make_backend(folder: Path, settings: Settings) -> Backend:
    """Return the backend that goes with the settings."""
    if isinstance(settings, SlurmSettings):
        from gsnr_sweep.launcher.backends.slurm import SlurmBackend

        return SlurmBackend(folder, settings)
    from gsnr_sweep.launcher.backends.local import LocalBackend

    return LocalBackend(folder)


def backend_of(manifest: Manifest) -> Backend:
    """Return a backend that can look after a sweep's jobs; what to submit it does not know."""
    slurm = manifest.backend == "slurm"
    return make_backend(manifest.folder, SlurmSettings() if slurm else LocalSettings())


def own_path() -> list[str]:
    """Return where modules are found besides the Python installation itself.

    First comes where this package lies, which an editable installation puts on no path: a worker
    computes by the very code that was launched.
    """
    installed = {Path(prefix).resolve() for prefix in (sys.prefix, sys.base_prefix)}
    libraries = [prefix / lib for prefix in installed for lib in ("lib", "lib64", "Lib")]
    entries = [Path(__file__).parents[2], *map(Path, sys.path)]
    folders = [entry.resolve() for entry in entries if entry.is_dir()]
    own = [f for f in folders if not any(lib == f or lib in f.parents for lib in libraries)]
    return [str(folder) for folder in dict.fromkeys(own)]


def _gpus(settings: Settings) -> list[int]:
    """Return the GPUs over which the processes of a job are spread."""
    if isinstance(settings, SlurmSettings):
        count = settings.gpus_per_node or 0
        return list(range(count)) if count > 1 else []
    if isinstance(settings.gpus, int):
        return list(range(settings.gpus))
    if settings.gpus is not None:
        return list(settings.gpus)
    import torch

    return list(range(torch.cuda.device_count()))


def _count(number: int, singular: str, plural: str = "") -> str:
    return f"{number} {singular if number == 1 else plural or f'{singular}s'}"


def pack(runs: Sequence[SweepRun], runs_per_job: int) -> list[list[SweepRun]]:
    """Spread runs over as few jobs as the limit allows, each about as costly as the others.

    The costliest run goes first, always to the job with the least to do that has room (longest
    processing time first; Graham 1969). Within a job the costliest come first, too.

    Args:
        runs: The runs with their estimated cost.
        runs_per_job: Most runs in a job.
    """
    n_jobs = math.ceil(len(runs) / runs_per_job)
    jobs: list[list[SweepRun]] = [[] for _ in range(n_jobs)]
    loads = [(0.0, job) for job in range(n_jobs)]
    for run in sorted(runs, key=lambda run: -run.cost):
        load, job = heapq.heappop(loads)
        jobs[job].append(run)
        if len(jobs[job]) < runs_per_job:
            heapq.heappush(loads, (load + run.cost, job))
    return [job for job in jobs if job]
