"""Worker processes on this machine."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import Any

from pebble import ProcessExpired, ProcessPool

from gsnr_sweep.launcher.backend import Job, Outcome
from gsnr_sweep.launcher.worker import Report, execute, start_worker

_SECONDS_BETWEEN_LOOKS = 0.25


class LocalBackend:
    """Runs jobs in a pool of processes that each import torch and mlflow once.

    A worker that is killed takes only its own run with it and is replaced.
    """

    def __init__(self, workers: int, threads_per_worker: int, folder: Path) -> None:
        """Describe the pool; processes start with the first job.

        Args:
            workers: Number of processes.
            threads_per_worker: Threads of each.
            folder: Gets a log of what workers print outside runs.
        """
        self._workers = workers
        self._threads = threads_per_worker
        self._log_file = folder / "workers.log"

    def describe(self) -> str:
        """Say how many processes and threads there are."""
        processes = "1 process" if self._workers == 1 else f"{self._workers} processes"
        threads = "1 thread" if self._threads == 1 else f"{self._threads} threads"
        return f"{processes} of {threads} on this machine"

    def run(self, jobs: Sequence[Job], on_wait: Callable[[], Any]) -> Iterator[Outcome]:
        """Execute all jobs; see `gsnr_sweep.launcher.backend.Backend`."""
        pool = ProcessPool(
            max_workers=min(self._workers, len(jobs)),
            context=multiprocessing.get_context("spawn"),
            initializer=start_worker,
            initargs=(self._threads, self._log_file),
        )
        try:
            pending: dict[Future[Report], Job] = {
                pool.schedule(execute, args=(job.payload,)): job for job in jobs
            }
            while pending:
                done, _ = wait(pending, _SECONDS_BETWEEN_LOOKS, FIRST_COMPLETED)
                for future in done:
                    yield _outcome(pending.pop(future), future)
                on_wait()
            pool.close()
        except BaseException:
            pool.stop()
            raise
        finally:
            pool.join()


def _outcome(job: Job, future: Future[Report]) -> Outcome:
    try:
        report = future.result()
    except ProcessExpired as error:
        return Outcome(job, None, f"the worker process died ({_death(error.exitcode)})")
    except Exception as error:
        return Outcome(job, None, " ".join(str(error).split()) or type(error).__name__)
    return Outcome(job, report.result, report.error)


def _death(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        name = signal.Signals(-exitcode).name
        hint = "; was memory short?" if name == "SIGKILL" else ""
        return f"signal {name}{hint}"
    return f"exit code {exitcode}"
