"""Where a run stands, in a small file that anyone may read while it runs.

Progress, failures and deaths are told from these files alone, so that it makes no difference
whether a run lives in a process of this machine or in a cluster's job, and whether the launcher is
still there.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.records.atomic import write_atomically
from gsnr_sweep.records.periodic import every
from gsnr_sweep.records.processes import UNKNOWN, alive, identify
from gsnr_sweep.records.reading import SMALL, check_time, from_json, read_json
from gsnr_sweep.records.state import State

STATUS_FILE = "status.json"
_SECONDS_BETWEEN_WRITES = 0.5
_SECONDS_BETWEEN_HEARTBEATS = 5.0


@dataclass
class Status:
    """State of one run.

    Attributes:
        state: ``preparing``, ``running``, ``finished``, ``diverged``, ``failed``, ``interrupted``
            (asked to stop) or ``killed`` (its process died).
        epoch: Steps taken.
        epochs: Steps to take.
        updated: Time of this report, seconds since 1970.
        run_id: MLflow run, where an earlier version noted it; see `gsnr_sweep.records.sent`.
        message: For a failed run, why; otherwise what was measured last.
        host: Machine.
        pid: Process.
        process: That process's identity, see `gsnr_sweep.records.processes`.
        started: Start of this attempt, seconds since 1970.
        started_at: Steps that had been taken by earlier attempts.
        attempt: Number of this attempt, from 1.
        name: The run's name.
        config_hash: The run's identity.
        code: Version of the code that computes it.
        experiment: MLflow experiment that it belongs to.
        tracked: Whether MLflow has everything, likewise.
        may_pass: Whether a failure may pass if the run is tried again.
        training_hash: Identity of its training, whatever is measured.
        training_code: Version of the code that trains it.
    """

    state: State = State.PREPARING
    epoch: int = 0
    epochs: int = 0
    updated: float = 0.0
    run_id: str = ""
    message: str = ""
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    process: str = field(default_factory=identify)
    started: float = field(default_factory=time.time)
    started_at: int = 0
    attempt: int = 1
    name: str = ""
    config_hash: str = ""
    code: str = ""
    experiment: str = ""
    tracked: bool = False
    may_pass: bool = False
    training_hash: str = ""
    training_code: str = ""

    def __post_init__(self) -> None:
        check_time(self.updated)

    @property
    def alive(self) -> bool:
        """Whether a process is working on the run, as far as can be told from here."""
        return self.state.under_way and alive(self.process, self.updated)


class StatusFile:
    """Writes a run's status, not more than about twice a second."""

    def __init__(self, folder: Path, status: Status) -> None:
        """Start reporting into `folder`."""
        self._path = folder / STATUS_FILE
        self._lock = threading.Lock()
        self.status = status
        self.write()

    def reached(self, epoch: int) -> None:
        """Report progress."""
        self.status.epoch = epoch
        self.status.state = State.RUNNING
        if time.time() - self.status.updated >= _SECONDS_BETWEEN_WRITES:
            with contextlib.suppress(GsnrError):  # a full disk must not end what needs no disk now
                self.write()

    def write(self) -> None:
        """Report now.

        Raises:
            GsnrError: The file cannot be written.
        """
        with self._lock:
            self.status.updated = time.time()
            write_atomically(self._path, json.dumps(asdict(self.status)))

    @contextmanager
    def heartbeat(self) -> Iterator[None]:
        """Report every few seconds even where an epoch takes longer."""

        def beat() -> bool:
            if time.time() - self.status.updated >= _SECONDS_BETWEEN_HEARTBEATS:
                self.write()
            return True

        with every(_SECONDS_BETWEEN_HEARTBEATS, beat, "heartbeat"):
            yield


def read_status(folder: Path) -> Status | None:
    """Read a run's status; None if it has not reported yet."""
    try:
        content = {**UNKNOWN, **read_json(folder / STATUS_FILE, SMALL)}
        return from_json(Status, content, skip_unknown=True) if "state" in content else None
    except (OSError, ValueError, TypeError):
        return None


def other_run(folder: Path, config_hash: str) -> str:
    """Return the name of the run that a folder holds if it is not the one meant; else nothing.

    Args:
        folder: A run's folder.
        config_hash: Identity of the run that is meant.
    """
    status = read_status(folder)
    if status is None or status.config_hash in ("", config_hash):
        return ""
    return status.name or status.config_hash


def taken_folder(folder: Path, other: str) -> str:
    """Say that a folder holds another run, which is left as it is."""
    return (
        f"{folder} holds the run {other}, which has other settings. It stays as it is: choose "
        "another output folder (hydra.run.dir, hydra.sweep.dir), or remove this one."
    )


def write_status(folder: Path, status: Status) -> None:
    """Write the status of a run whose process is gone."""
    write_atomically(folder / STATUS_FILE, json.dumps(asdict(status)))
