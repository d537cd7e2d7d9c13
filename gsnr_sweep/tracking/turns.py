"""Whose turn it is to send a sweep's runs to MLflow: one process at a time.

The launcher takes the turn before it starts a worker and keeps it to the end. Where there is no
launcher, because the sweep was left to its cluster or the launcher died, a worker takes it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gsnr_sweep.records.leases import Lease, standing, take_lease
from gsnr_sweep.records.state import State
from gsnr_sweep.records.status import Status, StatusFile

LAUNCHER = "launcher"
_FOLDER = ".exporter"
_SECONDS_BETWEEN_LOOKS = 0.2


@contextmanager
def export_turn(sweep: Path, who: str, patience: float = 0.0) -> Iterator[bool]:
    """Take the turn if it is free; it is free again if its process dies.

    Args:
        sweep: The sweep's folder.
        who: `LAUNCHER`, or a name of the process.
        patience: Seconds to wait for another process to be done.

    Yields:
        Whether this process has the turn.

    Raises:
        GsnrError: The folder cannot be written.
    """
    folder = sweep / _FOLDER
    deadline = time.monotonic() + patience
    lease = _take(folder, who)
    while lease is None and time.monotonic() < deadline:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
        lease = _take(folder, who)
    if lease is None:
        yield False
        return
    file = StatusFile(folder, Status(State.RUNNING, attempt=lease.number, name="exporter"))
    try:
        with file.heartbeat():
            yield True
    finally:
        file.status.state = State.INTERRUPTED  # whoever comes next may go on
        file.write()


def _take(folder: Path, who: str) -> Lease | None:
    return take_lease(folder, who, restart=0, max_retries=sys.maxsize)


def exporting(sweep: Path) -> str:
    """Return who has the turn, empty if nobody has."""
    now = standing(sweep / _FOLDER)
    return now.lease.job if now.lease and now.state.under_way else ""
