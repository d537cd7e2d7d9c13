"""Jobs on a cluster, submitted by submitit and watched through ``squeue``.

submitit itself learns of a job's end from its result file or from ``sacct``; where accounting is
off, a job that was killed would count as running for ever. ``squeue`` needs no accounting.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import pwd
import re
import shlex
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from submitit import SlurmExecutor
from submitit.core.utils import FailedJobError, FailedSubmissionError

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.launcher.backends.base import JOBS_FOLDER, JobState, is_job_id, jobs_folder
from gsnr_sweep.launcher.settings import SlurmSettings
from gsnr_sweep.launcher.worker import Worker
from gsnr_sweep.records.manifest import SweepJob

log = logging.getLogger(__name__)

_PENDING = {"PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "CONFIGURING"}
_RUNNING = {"RUNNING", "COMPLETING", "SUSPENDED", "RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED"}
_WITHOUT_LIMIT = 1_000_000  # time-outs are no reason to give up while checkpoints get further
_SECONDS_FOR_SLURM = 60
_MOST_AT_ONCE = 1000  # job ids in one call
_PRE_EMPTED = "PREEMPTED"


class SlurmBackend:
    """Submits job arrays."""

    def __init__(self, folder: Path, settings: SlurmSettings) -> None:
        """Prepare.

        Args:
            folder: The sweep's folder; all nodes must see it.
            settings: What each job asks for.
        """
        self._folder = folder
        self._settings = settings
        self._last: dict[str, JobState] = {}
        self.seconds_between_looks = settings.poll_s

    def submit(self, workers: Sequence[Worker]) -> list[SweepJob]:
        """Submit the jobs as arrays, as large as the cluster takes them."""
        logging.getLogger("submitit").setLevel(logging.ERROR)
        chunks = list(_chunks(workers, self._largest_array))
        jobs: list[SweepJob] = []
        try:
            for chunk in chunks:
                jobs += self._submit_array(chunk, len(chunks))
        except GsnrError:
            self.cancel(jobs)
            raise
        return jobs

    def _submit_array(self, workers: Sequence[Worker], n_arrays: int) -> list[SweepJob]:
        executor = SlurmExecutor(jobs_folder(self._folder), max_num_timeout=_WITHOUT_LIMIT)
        executor.update_parameters(
            **sbatch_parameters(self._settings, workers[0].python_path, n_arrays)
        )
        try:
            # submitit prints what sbatch says, which is part of our own message
            with contextlib.redirect_stderr(io.StringIO()), executor.batch():
                submitted = [executor.submit(worker) for worker in workers]
        except (FailedJobError, FailedSubmissionError, subprocess.SubprocessError) as error:
            asked = ", ".join(f"{k}={v}" for k, v in _asked(self._settings).items())
            raise GsnrError(
                f"SLURM did not take the jobs: {_complaint(error)}. Asked for: {asked}. What there "
                "is: sinfo."
            ) from None
        host = socket.gethostname()
        return [
            SweepJob(job.job_id, worker.runs, host)
            for job, worker in zip(submitted, workers, strict=True)
        ]

    @cached_property
    def _largest_array(self) -> int:
        """Most tasks of an array: SLURM refuses an index of MaxArraySize and above."""
        answer = _slurm("scontrol", "show", "config") or ""
        found = re.search(r"MaxArraySize\s*=\s*(\d+)", answer)
        return max(1, int(found[1])) if found else 1000

    def states(self, jobs: Sequence[SweepJob]) -> dict[str, JobState]:
        """Ask the controller; of a job that it has forgotten, accounting if there is any."""
        found = self._ask(jobs)
        if found is None:  # the controller does not answer: nothing is known, nothing is over
            return {job.id: self._last.get(job.id, JobState("running")) for job in jobs}
        self._last |= found
        return {job.id: found.get(job.id, JobState("gone")) for job in jobs}

    def _ask(self, jobs: Sequence[SweepJob]) -> dict[str, JobState] | None:
        known: dict[str, JobState] = {}
        jobs = [job for job in jobs if is_job_id(job.id)]
        masters = list(dict.fromkeys(job.id.partition("_")[0] for job in jobs))
        for ids in _chunks(masters, _MOST_AT_ONCE):
            answer = _queue(ids)
            if answer is None:
                return None
            known |= answer
        forgotten = [job.id for job in jobs if job.id not in known]
        accounted = _accounting(forgotten) if forgotten else {}
        return {
            job.id: known.get(job.id) or accounted.get(job.id) or JobState("gone") for job in jobs
        }

    def cancel(self, jobs: Sequence[SweepJob], pending_only: bool = False) -> None:
        """Call ``scancel`` for jobs of this user that this sweep has submitted."""
        only = ["--state=PENDING"] if pending_only else []
        mine = self._mine([job.id for job in jobs if is_job_id(job.id)])
        for ids in _chunks(mine, _MOST_AT_ONCE):
            _slurm("scancel", f"--user={_user()}", *only, *ids)

    def _mine(self, ids: Sequence[str]) -> list[str]:
        """Leave out jobs that, for all the controller says, are somebody else's or do other work.

        A manifest may be anybody's, and numbers begin anew where a cluster is set up again.
        """
        foreign = set()
        jobs = os.path.realpath(self._folder / JOBS_FOLDER)
        for some in _chunks(ids, _MOST_AT_ONCE):
            answer = _slurm("squeue", "-h", "-r", "-o", "%i|%u|%o", "-j", ",".join(some)) or ""
            for line in answer.splitlines():
                job, user, script = (part.strip() for part in line.split("|", 2))
                elsewhere = script.startswith("/") and jobs != os.path.realpath(Path(script).parent)
                if user != _user() or elsewhere:
                    log.warning("job %s is no job of this sweep: it is left alone", job)
                    foreign.add(job)
        return [job for job in ids if job not in foreign]


def sbatch_parameters(
    settings: SlurmSettings, path: Sequence[str], n_arrays: int = 1
) -> dict[str, Any]:
    """Return the settings in submitit's words.

    Args:
        settings: Of the launcher.
        path: Folders in which Python modules are found.
        n_arrays: Number of arrays that share ``array_parallelism``.
    """
    workers = settings.workers or 1
    parameters: dict[str, Any] = {
        "job_name": "gsnr-sweep",
        "partition": settings.partition,
        "account": settings.account,
        "qos": settings.qos,
        "constraint": settings.constraint,
        "time": settings.timeout_min,
        "gpus_per_node": settings.gpus_per_node,
        "ntasks_per_node": workers,
        "cpus_per_task": settings.cpus_per_task or settings.threads_per_worker,
        "mem": _memory(settings.mem_gb),
        "signal_delay_s": settings.signal_delay_s,
        "setup": [
            f"export PYTHONSAFEPATH=1 PYTHONPATH={shlex.quote(os.pathsep.join(path))}",
            *settings.setup,
        ],
        "wckey": None,
        "additional_parameters": {"requeue": True, **(settings.sbatch or {})},
        # one worker that fails must not take the others of its job with it
        "srun_args": ["--kill-on-bad-exit=0"] if workers > 1 else None,
    }
    if settings.array_parallelism is not None:
        parameters["array_parallelism"] = max(1, settings.array_parallelism // n_arrays)
    else:
        parameters["array_parallelism"] = _WITHOUT_LIMIT
    return {key: value for key, value in parameters.items() if value is not None}


def _asked(settings: SlurmSettings) -> dict[str, Any]:
    """Return the settings that a cluster may refuse, as they were given."""
    names = (
        *("partition", "account", "qos", "timeout_min", "gpus_per_node", "cpus_per_task"),
        *("mem_gb", "constraint", "workers"),
    )
    values = {name: getattr(settings, name) for name in names} | dict(settings.sbatch or {})
    return {name: value for name, value in values.items() if value is not None}


def _memory(gigabytes: float | None) -> str | None:
    return None if gigabytes is None else f"{max(1, round(gigabytes * 1024))}M"


def partitions() -> list[str]:
    """Return the names of the cluster's partitions; empty if it does not answer."""
    return sorted(set((_slurm("sinfo", "-h", "-o", "%R") or "").split()))


def _queue(ids: Sequence[str]) -> dict[str, JobState] | None:
    """Ask ``squeue`` about jobs; None if the controller does not answer."""
    format_ = "%i|%T|%r|%N"
    answer = _slurm("squeue", "-h", "-r", "-t", "all", "-o", format_, "-j", ",".join(ids))
    if answer is None:
        # one id that the controller has forgotten spoils a list of one: ask for all of them
        answer = _slurm("squeue", "-h", "-r", "-t", "all", "-o", format_)
    if answer is None:
        return None
    states = {}
    for line in answer.splitlines():
        job, state, reason, host = (part.strip() for part in line.split("|", 3))
        states[job] = _judge(state, reason, host)
    return states


def _judge(state: str, reason: str = "", host: str = "") -> JobState:
    state = state.split(maxsplit=1)[0].rstrip("+") if state else ""
    if state in _RUNNING:
        return JobState("running", host=host)
    if state in _PENDING or state == _PRE_EMPTED:
        return JobState("pending", reason)
    told = f"SLURM: {state}" + (f", {reason}" if reason not in ("", "None") else "")
    return JobState("gone", "" if state == "COMPLETED" else told, state == "CANCELLED", host)


def _accounting(ids: Sequence[str]) -> dict[str, JobState]:
    """Ask ``sacct``, which works only where the cluster keeps accounts."""
    if shutil.which("sacct") is None:
        return {}
    arguments = ("-X", "-n", "-P", "-o", "JobID,State")
    answer = _slurm("sacct", *arguments, "-j", ",".join(ids[:_MOST_AT_ONCE])) or ""
    rows = [line.split("|") for line in answer.splitlines() if line.count("|") >= 1]
    states = {row[0]: _judge(row[1]) for row in rows if row[1]}
    return {job: state for job, state in states.items() if state.phase == "gone"}


def _slurm(*command: str) -> str | None:
    """Call one of SLURM's programs; return what it printed, None if it failed."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS_FOR_SLURM, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        log.debug("%s: %s", json.dumps(command[:6]), error)
        return None
    return done.stdout


def _user() -> str:
    """Return this user's name, or the number where there is no name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _complaint(error: Exception) -> str:
    text = str(getattr(error, "stderr", "") or error)
    lines = [line.strip() for line in text.splitlines() if "sbatch: error:" in line]
    lines = [line.removeprefix("sbatch: error:").strip() for line in lines]
    return (" ".join(lines) or " ".join(text.split())[:300]).rstrip(".")


def _chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
