"""The record of a run on disk, complete after every event."""

from __future__ import annotations

from typing_extensions import override

from gsnr_sweep.records.record import Measurement
from gsnr_sweep.runs.callbacks import Callback, RunState


class Recorder(Callback):
    """Keeps ``record.json`` up to date."""

    @override
    def on_start(self, run: RunState) -> None:
        """Write the settings."""
        run.record.write(run.folder)

    @override
    def on_data(self, run: RunState) -> None:
        """Write what the data are, and what was measured before."""
        run.record.write(run.folder)

    @override
    def on_measurement(self, run: RunState, measurement: Measurement) -> None:
        """Add a measurement, in the order of the epochs."""
        run.record.measurements.append(measurement)
        run.record.measurements.sort(key=lambda each: each.epoch)
        run.record.write(run.folder)

    @override
    def on_end(self, run: RunState) -> None:
        """Write how the run ended."""
        run.record.write(run.folder)
