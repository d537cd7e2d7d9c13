"""Where a run stands, in a small file that anyone may read while it runs.

The launcher draws its progress from these files alone, so that it makes no difference whether a run
lives in a worker process of this machine or in a cluster's job.
"""

from __future__ import annotations

import json
import os
import socket
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from gsnr_sweep.record import write_atomically

STATUS_FILE = "status.json"
_SECONDS_BETWEEN_WRITES = 0.5


@dataclass
class Status:
    """State of one run.

    Attributes:
        state: ``preparing``, ``running``, ``finished``, ``diverged`` or ``failed``.
        epoch: Steps taken.
        epochs: Steps to take.
        updated: Time of this report, seconds since 1970.
        run_id: MLflow run, empty if none.
        message: For a failed run, why; otherwise what was measured last.
        host: Machine.
        pid: Process.
    """

    state: str = "preparing"
    epoch: int = 0
    epochs: int = 0
    updated: float = 0.0
    run_id: str = ""
    message: str = ""
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)


class StatusFile:
    """Writes a run's status, not more than about twice a second."""

    def __init__(self, folder: Path, epochs: int) -> None:
        """Start reporting into `folder`."""
        self._path = folder / STATUS_FILE
        self.status = Status(epochs=epochs)
        self.write()

    def reached(self, epoch: int) -> None:
        """Report progress."""
        self.status.epoch = epoch
        self.status.state = "running"
        if time.time() - self.status.updated >= _SECONDS_BETWEEN_WRITES:
            self.write()

    def write(self) -> None:
        """Report now."""
        self.status.updated = time.time()
        write_atomically(self._path, json.dumps(asdict(self.status)))


def read_status(folder: Path) -> Status | None:
    """Read a run's status; None if it has not reported yet."""
    try:
        return Status(**json.loads((folder / STATUS_FILE).read_text()))
    except (FileNotFoundError, json.JSONDecodeError, TypeError):
        return None
