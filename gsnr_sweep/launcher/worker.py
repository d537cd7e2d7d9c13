"""What happens inside a job: one process works through a list of runs.

This module is imported by the job before anything else and imports nothing heavy itself: the number
of threads must be in the environment before PyTorch is loaded.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from submitit.core.utils import DelayedSubmission

from gsnr_sweep._startup import leaving_quickly, loading_quickly
from gsnr_sweep.errors import GsnrError, describe_exception
from gsnr_sweep.records.leases import fail_run, renewing, standing, take_lease
from gsnr_sweep.records.manifest import PAYLOAD_FILE, Manifest, SweepRun
from gsnr_sweep.records.state import State
from gsnr_sweep.runs.control import Attempt, RunControl
from gsnr_sweep.tracking.background_export import exporting_sweep
from gsnr_sweep.tracking.sync import send_what_is_left

if TYPE_CHECKING:
    from gsnr_sweep.launcher.job_context import JobContext

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_SECONDS_BETWEEN_LOOKS = 0.5
_LOOKS_BETWEEN_STOP_FILES = 4

log = logging.getLogger(__name__)


class RunsFailedError(Exception):
    """Some runs of this job failed: the job must not count as a success."""


@dataclass
class Worker:
    """Works through runs of a sweep; submitit's job calls it.

    Attributes:
        folder: The sweep's folder.
        runs: Indices of the runs that it may take, in the order in which to try them.
        threads: Threads of this process.
        path: Folders in which modules are found.
        environment: Environment variables to set first; None unsets one.
        gpus: GPUs to spread processes over, as CUDA numbers them; empty: leave it to the run.
        slot: Number of this process among those that share the GPUs.
        limit: Most runs in one process; None for no limit.
        sharing_memory: As in `Attempt`.
        grace: Seconds that may pass between the signal to stop and the end.
    """

    folder: str
    runs: list[int]
    threads: int = 1
    path: list[str] = field(default_factory=list)
    environment: dict[str, str | None] = field(default_factory=dict)
    gpus: list[int] = field(default_factory=list)
    slot: int = 0
    limit: int | None = None
    sharing_memory: int = 1
    grace: float = 60.0

    def __call__(self) -> int:
        """Work until nothing is left; return how many runs this process ended.

        Raises:
            RunsFailedError: At least one of the runs it took failed.
        """
        self._set_up()
        session = _Session(self, RunControl())
        self._session = session
        session.install_handlers()
        with leaving_quickly():
            return session.work()

    def checkpoint(self) -> DelayedSubmission | None:
        """Stop cleanly and ask for the same job again: called on pre-emption and time-out."""
        session: _Session | None = getattr(self, "_session", None)
        if session is not None and not session.pause(self.grace):
            return None
        return DelayedSubmission(self)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "_session"}

    @property
    def python_path(self) -> list[str]:
        """The folders to be searched before Python's own: the launch folder is none of them.

        A file there (``random.py``) would stand in for a module that libraries mean. Only where
        this package itself lies there, not installed, it cannot be left out.
        """
        here = str(Path.cwd().resolve())
        package = str(Path(__file__).resolve().parents[2])
        return [path for path in self.path if path != here or path == package]

    def _set_up(self) -> None:
        for name, value in self.environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        for name in _THREAD_VARIABLES:
            os.environ[name] = str(self.threads)
        sys.path[:] = list(dict.fromkeys([*sys.path, *self.path]))


class _Session:
    """One life of a worker: runs in one thread, signals and requests to stop in the main one."""

    def __init__(self, worker: Worker, request: RunControl) -> None:
        self._worker, self._request = worker, request
        self._manifest = Manifest.read(Path(worker.folder))
        by_index = {run.index: run for run in self._manifest.runs}
        self._runs = [by_index[index] for index in worker.runs]
        self._place = Place.here()
        self._ended = 0
        self._failed: list[str] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work_through, name="runs")

    def install_handlers(self) -> None:
        """Save when the end is announced; an interrupt from the keyboard is the launcher's."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: self._request.save())
        if self._place.rank > 0:  # submitit heeds it in the first process only
            signal.signal(signal.SIGUSR2, lambda *_: self._request.stop("the job is stopped"))

    def work(self) -> int:
        with exporting_sweep(self._manifest, self._place.name):
            self._work()
            self._stay_for_others()
        send_what_is_left(self._manifest, self._place.name)
        if self._error is not None:
            raise self._error
        if self._over_limit() and not self._request.stopping:
            sys.stdout.flush()
            os.execv(sys.executable, sys.orig_argv)  # a fresh process for the runs that are left
        if self._failed:
            raise RunsFailedError("; ".join(self._failed))
        return self._ended

    def _work(self) -> None:
        self._thread.start()
        looks = 0
        while self._thread.is_alive():
            self._thread.join(_SECONDS_BETWEEN_LOOKS)
            looks += 1
            if looks % _LOOKS_BETWEEN_STOP_FILES == 0 and self._manifest.stop_file.exists():
                self._request.stop("the sweep was asked to stop")

    def pause(self, grace: float) -> bool:
        """Let the run under way write its checkpoint; return whether the job is to be restarted.

        Where the time is too short for that, the last checkpoint has to do.
        """
        if self._manifest.stop_file.exists():
            self._request.stop("the sweep was asked to stop")
            self._thread.join(grace)
            return False
        self._request.stop("the job was pre-empted or ran out of time")
        deadline = time.monotonic() + grace
        self._thread.join(grace)
        while self._others_under_way() and time.monotonic() < deadline:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        return True

    def _stay_for_others(self) -> None:
        """Wait for the job's other processes where this is the one that can requeue the job.

        The cluster's warning reaches every process, but submitit requeues from the first one only.
        """
        if self._place.rank == 0 and self._place.processes > 1:
            while self._others_under_way():
                time.sleep(_SECONDS_BETWEEN_LOOKS)

    def _others_under_way(self) -> bool:
        """Whether other processes of this job have not stopped yet."""
        for run in self._runs:
            now = standing(self._manifest.folder_of(run))
            if now.state.under_way and now.lease and now.lease.job == self._place.job:
                return True
        return False

    def _over_limit(self) -> bool:
        return self._worker.limit is not None and self._ended >= self._worker.limit

    def _work_through(self) -> None:
        try:
            with loading_quickly():
                job_context = load_job_context(self._manifest.folder)
            for run in self._runs:
                if self._request.stopping or self._over_limit():
                    return
                self._try(run, job_context)
        except BaseException as error:
            self._error = error

    def _try(self, run: SweepRun, job_context: JobContext) -> None:
        from gsnr_sweep.launcher.job_context import execute

        folder = self._manifest.folder_of(run)
        place, retries = self._place, self._manifest.max_retries
        lease = take_lease(folder, place.job, place.restart, retries)
        if lease is None:
            return
        other = (self._manifest.folder / run.resume_from).resolve()
        resume_from = other if run.resume_from else None
        sharing = self._worker.sharing_memory
        attempt = Attempt(lease.number, resume_from, self._request, sharing)
        with renewing(folder, lease):
            error = execute(job_context, run, attempt, self._device())
        if error:
            fail_run(folder, lease, error)
        state = standing(folder).state
        self._ended += state.over
        if state in (State.FAILED, State.DIVERGED):
            self._failed.append(f"{run.name}: {error or state}")
        print(f"{run.name}: {state}{f' ({error})' if error else ''}", flush=True)

    def _device(self) -> str:
        gpus = self._worker.gpus
        slot = self._worker.slot + self._place.rank
        return f"cuda:{gpus[slot % len(gpus)]}" if gpus else ""


@dataclass(frozen=True)
class Place:
    """What job a process is part of.

    Attributes:
        job: The backend's name of the job.
        restart: How often a cluster has restarted it.
        rank: Number of the process among those of the job.
        processes: How many those are.
    """

    job: str
    restart: int = 0
    rank: int = 0
    processes: int = 1

    @property
    def name(self) -> str:
        """Name of the process."""
        return f"{self.job}.{self.rank}"

    @classmethod
    def here(cls) -> Place:
        """Find out where this process is; it may be a local worker within somebody's SLURM job."""
        found = os.environ.get
        if found("SUBMITIT_EXECUTOR") != "slurm":
            return cls(found("SUBMITIT_LOCAL_JOB_ID", ""))
        array, job = found("SLURM_ARRAY_JOB_ID"), found("SLURM_JOB_ID", "")
        name = f"{array}_{found('SLURM_ARRAY_TASK_ID', '0')}" if array else job
        numbers = ("SLURM_RESTART_COUNT", "0"), ("SLURM_PROCID", "0"), ("SLURM_NTASKS", "1")
        return cls(name, *(int(found(variable, default)) for variable, default in numbers))


def load_job_context(folder: Path) -> JobContext:
    """Read what the runs of a sweep have in common.

    Raises:
        GsnrError: The file is missing, was written by another version, or is somebody else's: what
            it holds is executed.
    """
    path = folder / PAYLOAD_FILE
    with contextlib.suppress(OSError):
        found = path.stat()
        if found.st_uid not in (os.getuid(), 0) or found.st_mode & 0o022:
            raise GsnrError(
                f"{path} cannot be read: others may have written it, and what it holds is "
                "executed. Launch the sweep again in a folder of your own."
            )
    try:
        loaded: JobContext = pickle.loads(path.read_bytes())
    except Exception as error:
        with contextlib.suppress(Exception):
            log.exception("payload")
        raise GsnrError(f"{path} cannot be read: {describe_exception(error)}") from error
    return loaded
