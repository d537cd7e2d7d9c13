"""A run's events, sent to MLflow."""

from __future__ import annotations

from pathlib import Path

from typing_extensions import override

from gsnr_sweep.records.record import Measurement
from gsnr_sweep.runs.callbacks import Callback, RunState
from gsnr_sweep.tracking.run_tracker import RunTracker, artifact_files, run_key


class MlflowLogger(Callback):
    """Sends a run's events to its MLflow run; a store that fails ends nothing."""

    def __init__(self, run: RunState, launch_folder: Path) -> None:
        """Prepare; nothing is sent yet.

        Args:
            run: The run.
            launch_folder: Holds the default tracking store.
        """
        number, tracking = run.attempt.number, run.cfg.tracking
        self._tracker = RunTracker(
            tracking,
            launch_folder,
            run.run_id,
            run.attempt.breaker,
            key=run_key(run.folder, tracking),
            may_exist=number > 1 and not run.before.note,
        )

    @override
    def on_start(self, run: RunState) -> None:
        """Create the MLflow run, or open it again."""
        self._tracker.start(run.record)
        run.run_id = self._tracker.run_id

    @override
    def on_data(self, run: RunState) -> None:
        """Log the data sets."""
        self._tracker.describe_data(run.record.data)

    @override
    def on_restart(self, run: RunState) -> None:
        """Leave what was sent to the run that it belongs to."""
        self._tracker.start_anew(run.record)
        run.run_id = self._tracker.run_id

    @override
    def on_measurement(self, run: RunState, measurement: Measurement) -> None:
        """Log metrics."""
        self._tracker.measured(measurement)

    @override
    def on_end(self, run: RunState) -> None:
        """Send what is left and close the MLflow run."""
        self._tracker.finish(run.record, artifact_files(run.folder))
        run.run_id, run.untracked = self._tracker.run_id, self._tracker.problem
