"""Where jobs are executed: one interface, this machine and SLURM behind it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.launcher.worker import Worker
from gsnr_sweep.records.manifest import SweepJob

JOBS_FOLDER = "jobs"
_JOB_ID = re.compile(r"[1-9]\d{0,17}(?:_\d{1,9})?", re.ASCII)


def is_job_id(text: object) -> bool:
    """Whether a text can be a job's name: a process number, or a job of SLURM's or of its arrays.

    A manifest may be anybody's: no other text gets into a command or a pattern of file names.
    """
    return isinstance(text, str) and _JOB_ID.fullmatch(text) is not None


def jobs_folder(folder: Path) -> Path:
    """Make the folder of a sweep's jobs; what lies in it is executed, so only its owner may write.

    Raises:
        GsnrError: It cannot be made.
    """
    jobs = folder / JOBS_FOLDER
    try:
        jobs.mkdir(parents=True, exist_ok=True)
        jobs.chmod(jobs.stat().st_mode & ~0o022 & 0o7777)
    except OSError as error:
        raise GsnrError(
            f"No worker can be started: {jobs} cannot be written ({error.strerror}). "
            "Free some space and start the same command again."
        ) from error
    return jobs


@dataclass(frozen=True)
class JobState:
    """What is known of a job.

    Attributes:
        phase: ``pending``, ``running`` or ``gone``.
        reason: Of a job that is gone, how it ended, in words; empty if nothing is known.
        final: Whether somebody ended it on purpose, so that it must not be started again.
        host: Where it runs, empty if unknown.
    """

    phase: str
    reason: str = ""
    final: bool = False
    host: str = ""


class Backend(Protocol):
    """Submits jobs and says how they are."""

    seconds_between_looks: float

    def submit(self, workers: Sequence[Worker]) -> list[SweepJob]:
        """Submit one job a worker.

        Raises:
            GsnrError: They were not accepted.
        """
        ...

    def states(self, jobs: Sequence[SweepJob]) -> dict[str, JobState]:
        """Return the state of each job, by its id; a job nobody knows any more is gone."""
        ...

    def cancel(self, jobs: Sequence[SweepJob], pending_only: bool = False) -> None:
        """End jobs at once, or only those that have not started."""
        ...


def log_files(folder: Path, job: SweepJob) -> list[Path]:
    """Return what a job has printed, errors first."""
    jobs = folder / JOBS_FOLDER
    if not re.fullmatch(r"\w+", job.id):  # no pattern, and no other folder
        return []
    found = [*jobs.glob(f"{job.id}_*_log.err"), *jobs.glob(f"{job.id}_*_log.out")]
    return [path for path in found if path.is_file() and path.stat().st_size > 0]


@contextmanager
def deaf_to_the_terminal() -> Iterator[None]:
    """Let processes started meanwhile ignore Ctrl-C and a closed terminal."""
    before = {s: signal.signal(s, signal.SIG_IGN) for s in (signal.SIGINT, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def without_our_outputs() -> Iterator[None]:
    """Let processes started meanwhile have no part in this one's output.

    They have logs of their own. Who reads a launch's output from a pipe waits until the last
    process that holds it has ended.
    """
    kept = []
    for number in (1, 2):
        with contextlib.suppress(OSError):  # closed by who started this
            kept.append((number, os.dup(number)))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for number, _ in kept:
            os.dup2(nowhere, number)
        yield
    finally:
        for number, copy in kept:
            os.dup2(copy, number)
            os.close(copy)
        os.close(nowhere)


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Set environment variables for processes started meanwhile."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
