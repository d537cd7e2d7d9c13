"""Jobs on this machine: processes that submitit starts and that outlive the launcher."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
from submitit import LocalExecutor

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.launcher.backends.base import (
    JOBS_FOLDER,
    JobState,
    deaf_to_the_terminal,
    environment,
    is_job_id,
    jobs_folder,
    without_our_outputs,
)
from gsnr_sweep.launcher.worker import Worker
from gsnr_sweep.records.manifest import SweepJob
from gsnr_sweep.records.processes import alive, identify, is_here
from gsnr_sweep.records.status import STATUS_FILE, read_status

_CONTROLLER = "submitit.local._local"  # the module that submitit starts for a job
_MINUTES_WITHOUT_END = 60 * 24 * 3650


log = logging.getLogger(__name__)


class LocalBackend:
    """Starts each job as a process of its own.

    submitit puts a small process before it, which starts the job, keeps its log and ends with it;
    that one's number is the job's name.
    """

    seconds_between_looks = 0.25

    def __init__(self, folder: Path) -> None:
        """Prepare.

        Args:
            folder: The sweep's folder.
        """
        self._folder = folder

    def submit(self, workers: Sequence[Worker]) -> list[SweepJob]:
        """Start one process a worker."""
        logging.getLogger("submitit").setLevel(logging.ERROR)
        executor = LocalExecutor(jobs_folder(self._folder))
        executor.update_parameters(timeout_min=_MINUTES_WITHOUT_END, signal_delay_s=1)
        jobs = []
        for worker in workers:
            # submitit hides all GPUs from a local job unless told how many it gets
            worker.environment["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES")
            paths = os.pathsep.join(worker.python_path)
            with (
                deaf_to_the_terminal(),
                without_our_outputs(),
                environment(PYTHONPATH=paths, PYTHONSAFEPATH="1"),
            ):
                job = _started_by(executor, worker)
            process = identify(int(job.job_id))
            host = socket.gethostname()
            jobs.append(SweepJob(job.job_id, worker.runs, host, time.time(), process))
            self._processes = [*getattr(self, "_processes", []), job]
        return jobs

    def states(self, jobs: Sequence[SweepJob]) -> dict[str, JobState]:
        """Look for the processes."""
        for job in getattr(self, "_processes", []):
            job.done()  # lets go of the process once it has ended
        return {job.id: self._state(job) for job in jobs}

    def cancel(self, jobs: Sequence[SweepJob], pending_only: bool = False) -> None:
        """Kill the processes that are this sweep's jobs; nothing is ever pending here."""
        if pending_only:
            return
        for job in jobs:
            if not (is_here(job.process) and _alive(job)):
                continue
            with contextlib.suppress(psutil.Error):
                controller = psutil.Process(int(job.id))
                if not _is_ours(controller, self._folder):
                    log.warning("job %s is no job of this sweep: it is left alone", job.id)
                    continue
                for process in [controller, *controller.children(recursive=True)]:
                    process.kill()

    def _state(self, job: SweepJob) -> JobState:
        heard_of = job.submitted
        if not is_here(job.process):  # only what its runs report can tell
            reports = [read_status(path.parent) for path in self._folder.glob(f"*/{STATUS_FILE}")]
            heard_of = max([heard_of, *(report.updated for report in reports if report)])
        there = _alive(job, heard_of)
        return JobState("running", host=job.host) if there else JobState("gone")


def _alive(job: SweepJob, heard_of: float = 0.0) -> bool:
    return is_job_id(job.id) and job.id.isdigit() and alive(job.process, heard_of)


def _started_by(executor: LocalExecutor, worker: Worker) -> Any:
    try:
        return executor.submit(worker)
    except OSError as error:
        raise GsnrError(
            f"No worker can be started: {executor.folder} cannot be written ({error.strerror}). "
            "Free some space and start the same command again."
        ) from error


def _is_ours(process: psutil.Process, folder: Path) -> bool:
    """Whether a process is a job that this user started for this sweep.

    A manifest may be anybody's, and a number given to another process since: the process is asked.
    """
    if process.uids().real != os.getuid():
        return False
    command = process.cmdline()
    jobs = os.path.realpath(folder / JOBS_FOLDER)
    return any(
        program == _CONTROLLER and os.path.realpath(given) == jobs
        for program, given in itertools.pairwise(command)
    )
