"""How a run ends, and what it returns."""

from __future__ import annotations

import dataclasses
import errno
from pathlib import Path

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.records.record import RunRecord, read_record
from gsnr_sweep.records.state import State
from gsnr_sweep.records.status import read_status
from gsnr_sweep.runs.memory_guard import OutOfMemoryError


class DivergedError(GsnrError):
    """Training left the finite numbers."""


class RunStoppedError(GsnrError):
    """A run was asked to stop and can go on from its checkpoint."""


@dataclasses.dataclass(frozen=True)
class RunResult:
    """What a run gives back to whoever started it.

    Attributes:
        record: Settings and measurements.
        folder: Where the record lies.
    """

    record: RunRecord
    folder: str


def _state_after(error: BaseException) -> State:
    if isinstance(error, DivergedError):
        return State.DIVERGED
    stopped = isinstance(error, RunStoppedError | KeyboardInterrupt)
    return State.INTERRUPTED if stopped else State.FAILED


def may_pass(error: BaseException) -> bool:
    """Tell whether trying again may help: short memory or a failing file system, not a full one."""
    cause = error.__cause__ if isinstance(error, GsnrError) else error
    if isinstance(cause, OSError):
        return cause.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOENT)
    return isinstance(error, OutOfMemoryError)


def run_result(folder: Path) -> RunResult | None:
    """Read a finished run's result; None if it did not finish."""
    status = read_status(folder)
    record = read_record(folder) if status and status.state == State.FINISHED else None
    if status is None or record is None:
        return None
    return RunResult(record, str(folder))
