"""The status of a run on disk: how far it is, and whether its process lives."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager

from typing_extensions import override

from gsnr_sweep.records.record import Measurement
from gsnr_sweep.records.state import State
from gsnr_sweep.records.status import Status, StatusFile
from gsnr_sweep.runs.callbacks import Callback, RunState
from gsnr_sweep.wording import describe_epoch


class StatusReporter(Callback):
    """Keeps ``status.json`` up to date."""

    def __init__(self, run: RunState) -> None:
        """Report that the run is being prepared."""
        status = Status(
            epoch=run.before.epoch,
            epochs=run.cfg.epochs,
            attempt=run.attempt.number,
            name=run.record.name,
            config_hash=run.record.config_hash,
            code=run.code,
            experiment=run.cfg.tracking.experiment,
            training_hash=run.training.hash,
            training_code=run.training.code,
        )
        self._file = StatusFile(run.folder, status)

    def heartbeat(self) -> AbstractContextManager[None]:
        """Report every few seconds even where an epoch takes longer."""
        return self._file.heartbeat()

    @override
    def on_data(self, run: RunState) -> None:
        """Report where training starts."""
        self._file.status.started_at = run.before.epoch
        self._file.reached(run.before.epoch)

    @override
    def on_measurement(self, run: RunState, measurement: Measurement) -> None:
        """Report both sides of eq. (19)."""
        self._file.status.message = _headline(measurement)

    @override
    def on_step(self, run: RunState, epoch: int) -> None:
        """Report progress."""
        self._file.reached(epoch)

    @override
    def on_end(self, run: RunState) -> None:
        """Report how the run ended."""
        status = self._file.status
        status.state, status.may_pass = run.record.state, run.may_pass
        status.message = run.record.error or status.message
        if run.problems and status.state.has_result:  # of which the disk has no record
            status.state, status.message = State.FAILED, str(run.problems[0])
        if run.record.state == State.FINISHED:
            status.epoch = run.epoch
        self._file.write()


def _headline(measurement: Measurement) -> str:
    """Put the two sides of eq. (19) into a few words."""
    lhs = measurement.metrics.get("osgr_lhs", math.nan)
    rhs = measurement.metrics.get("osgr_rhs", math.nan)
    return f"epoch {describe_epoch(measurement.epoch)}: LHS {lhs:.3f}  RHS {rhs:.3f}"
