"""Who works on a run: one file an attempt, which only one process can create.

Workers take runs from a common list without anyone who deals them out. A run whose worker is gone
is taken over by whoever creates the next attempt's file first.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from gsnr_sweep.config.own_code import own_code
from gsnr_sweep.records.atomic import write_atomically
from gsnr_sweep.records.periodic import every
from gsnr_sweep.records.processes import UNKNOWN, alive, identify
from gsnr_sweep.records.reading import SMALL, from_json, read_json
from gsnr_sweep.records.record import RunRecord, holds_result, read_record
from gsnr_sweep.records.state import State
from gsnr_sweep.records.status import Status, read_status, write_status

PROCESS_DIED = "its process died; was memory short?"
RECORD_LOST = "it ended, but its record.json is missing or damaged"
_CLAIM = "attempt."
_SECONDS_BETWEEN_RENEWALS = 20.0


@dataclass(frozen=True)
class Lease:
    """An attempt at a run, and whose it is.

    Attributes:
        number: From 1.
        job: The backend's name of the job.
        restart: How often a cluster has restarted that job.
        failures: How many earlier attempts died or failed; interruptions do not count.
        host: Machine.
        pid: Process.
        process: Its identity, see `gsnr_sweep.records.processes`.
        made: When, seconds since 1970.
    """

    number: int = 1
    job: str = ""
    restart: int = 0
    failures: int = 0
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    process: str = field(default_factory=identify)
    made: float = field(default_factory=time.time)

    @property
    def alive(self) -> bool:
        """Whether its process is there, as far as can be told from here."""
        return alive(self.process, self.made)


@dataclass(frozen=True)
class Standing:
    """Where a run stands.

    Attributes:
        state: ``killed`` also where nobody has written it yet; ``lost`` where the last report
            tells of a result that no record holds.
        lease: The last attempt, None if there was none.
        status: Its last report, None if there was none.
    """

    state: State
    lease: Lease | None
    status: Status | None

    @property
    def error(self) -> str:
        """Return why the run has no result, as a sentence; empty if it has or may yet."""
        if self.state == State.LOST:
            return RECORD_LOST
        message = self.status.message if self.status else ""
        if self.state == State.KILLED:
            return message if self._closed and message else PROCESS_DIED
        return message if self.state in (State.FAILED, State.DIVERGED, State.INTERRUPTED) else ""

    @property
    def _closed(self) -> bool:
        return self.status is not None and self.status.state == State.KILLED

    def may_go_on(self, max_retries: int) -> bool:
        """Whether another attempt is allowed: after an interruption always, else so many times."""
        if self.state in (State.WAITING, State.INTERRUPTED):
            return True
        failures = self.lease.failures if self.lease else 0
        if self.state in (State.KILLED, State.LOST):
            return failures < max_retries
        passing = self.status is not None and self.status.may_pass
        return self.state == State.FAILED and passing and failures < max_retries


def standing(folder: Path) -> Standing:
    """Tell where a run stands from its folder alone."""
    lease, status = last_lease(folder), read_status(folder)
    if lease is None and status is None:
        return Standing(State.WAITING, None, None)
    if lease is not None and (status is None or status.attempt < lease.number):
        return Standing(State.PREPARING if lease.alive else State.KILLED, lease, status)
    assert status is not None
    if status.state.under_way and not status.alive:
        return Standing(State.KILLED, lease, status)
    if status.state.has_result and not holds_result(folder):
        return Standing(State.LOST, lease, status)
    return Standing(status.state, lease, status)


def last_lease(folder: Path) -> Lease | None:
    """Return the last attempt at a run, None if there was none."""
    number = max(_numbers(folder), default=0)
    if not number:
        return None
    path = folder / f"{_CLAIM}{number}"
    for _ in range(20):
        fresh = _is_empty(path)  # asked first: it may be written in the next moment
        try:
            content = {**UNKNOWN, "made": 0.0, **read_json(path, SMALL)}
            return from_json(Lease, content, skip_unknown=True)
        except (OSError, ValueError, TypeError):
            if not fresh:
                break
            time.sleep(0.01)  # between its creation and its content lies an instant
    return Lease(number, **UNKNOWN, made=0.0)


def take_lease(folder: Path, job: str, restart: int, max_retries: int) -> Lease | None:
    """Take a run for this process.

    Args:
        folder: The run's folder.
        job: The job that this process is part of.
        restart: How often the cluster has restarted it.
        max_retries: How often a run is tried again that died or failed.

    Returns:
        The attempt; None if the run is over, or somebody else's.
    """
    now = standing(folder)
    last = now.lease
    if last is None:
        return _create(folder, Lease(1, job, restart)) if now.status is None else None
    failures = last.failures
    requeued = last.job == job and last.restart < restart and not now.state.over
    if not requeued:
        if not now.may_go_on(max_retries):
            return None
        failures += now.state in (State.KILLED, State.FAILED, State.LOST)
    return _create(folder, Lease(last.number + 1, job, restart, failures))


@contextmanager
def renewing(folder: Path, lease: Lease) -> Iterator[None]:
    """Renew a lease until its run reports by itself, which it does once its identity is known.

    To read a large pool of a user's own for that may take longer than others wait for a process
    of another machine.
    """

    def renew() -> bool:
        status = read_status(folder)
        if status is not None and status.attempt >= lease.number:
            return False
        renewed = json.dumps(asdict(replace(lease, made=time.time())))
        write_atomically(folder / f"{_CLAIM}{lease.number}", renewed)
        return True

    with every(_SECONDS_BETWEEN_RENEWALS, renew, "lease"):
        yield


def close_killed(folder: Path, number: int, why: str = "") -> bool:
    """Write into a run's files that the process of an attempt died, unless it ended before.

    Args:
        folder: The run's folder.
        number: The attempt.
        why: What is known of the death.

    Returns:
        Whether that was news.
    """
    now = standing(folder)
    if now.lease is None or now.lease.number != number:
        return False  # somebody has taken over
    if (now.state.over or now.state == State.INTERRUPTED) or (
        now.status and now.status.state == State.KILLED
    ):
        return False
    record = read_record(folder)
    status = now.status or Status()
    status.attempt, status.tracked = number, False
    if record is not None and record.state.over:  # it died before it could say so
        status.state, status.message = record.state, record.error
    else:
        status.state, status.message = State.KILLED, why or _died(record)
    write_status(folder, status)
    if record is not None and status.state == State.KILLED:
        record.state, record.error = State.KILLED, status.message
        record.write(folder)
    return True


def _died(record: RunRecord | None) -> str:
    """Say that a process died; code of the user's may have ended it."""
    own = own_code(record.config) if record else []
    return f"{PROCESS_DIED} Or did its own code end it ({'; '.join(own)})?" if own else PROCESS_DIED


def fail_run(folder: Path, lease: Lease, why: str) -> None:
    """Write down why an attempt ended that could not do it itself."""
    status = read_status(folder)
    if status is None or status.attempt < lease.number:
        status = Status(attempt=lease.number)
    if not status.state.over and status.state != State.INTERRUPTED:
        status.state, status.message = State.FAILED, why
        write_status(folder, status)


def _numbers(folder: Path) -> list[int]:
    try:
        names = [entry.name for entry in os.scandir(folder)]
    except OSError:
        return []
    endings = [name.removeprefix(_CLAIM) for name in names if name.startswith(_CLAIM)]
    return [int(ending) for ending in endings if ending.isascii() and ending.isdigit()]


def _is_empty(path: Path) -> bool:
    try:
        return path.stat().st_size == 0
    except OSError:
        return False


def _create(folder: Path, lease: Lease) -> Lease | None:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with (folder / f"{_CLAIM}{lease.number}").open("x") as file:
            file.write(json.dumps(asdict(lease)))
    except FileExistsError:
        return None
    return lease
