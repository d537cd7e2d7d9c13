"""The state of a run under way, and the interface of what follows its events."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from gsnr_sweep.config.identity import TrainingIdentity
from gsnr_sweep.config.schema import Config
from gsnr_sweep.records.record import Measurement, RunRecord
from gsnr_sweep.runs.control import Attempt
from gsnr_sweep.runs.resume import ResumePoint
from gsnr_sweep.runs.stopwatch import Stopwatch

if TYPE_CHECKING:
    from gsnr_sweep.training.ensemble import Ensemble


@dataclass
class RunState:
    """A run under way, as its callbacks see it.

    Attributes:
        cfg: Its config.
        folder: Its output folder.
        attempt: Which attempt this is, and what others ask of it.
        code: Version of the code.
        record: All that is measured.
        before: What earlier attempts left.
        stopwatch: Seconds spent training and measuring.
        training: Identity of the training, whatever is measured.
        ensemble: The replicas, once they are built.
        data_digest: Of the data sets, once they are drawn.
        may_pass: Whether a failure may pass if the run is tried again.
        problems: What could not be written at the end.
        started: When this attempt started, by ``time.perf_counter``.
        epoch: Epochs that all replicas have passed.
    """

    cfg: Config
    folder: Path
    attempt: Attempt
    code: str
    record: RunRecord
    before: ResumePoint
    stopwatch: Stopwatch
    training: TrainingIdentity
    ensemble: Ensemble | None = None
    data_digest: str = ""
    may_pass: bool = False
    problems: list[Exception] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)
    epoch: int = 0

    @property
    def wall_seconds(self) -> float:
        """Time spent on this run, earlier attempts included as far as they were kept."""
        return self.before.seconds.get("wall", 0.0) + time.perf_counter() - self.started


class Callback:
    """What is told of a run's events; does nothing at any of them unless it says otherwise.

    Callbacks are called in the order in which the runner lists them.
    """

    def on_start(self, run: RunState) -> None:
        """The run begins; nothing is drawn yet."""

    def on_data(self, run: RunState) -> None:
        """Data are drawn, replicas built and put where an earlier attempt left them."""

    def on_restart(self, run: RunState) -> None:
        """What earlier attempts left cannot be used: the run is another one from here."""

    def on_measurement(self, run: RunState, measurement: Measurement) -> None:
        """An epoch was measured."""

    def on_step(self, run: RunState, epoch: int) -> None:
        """All replicas have taken `epoch` steps."""

    def on_end(self, run: RunState) -> None:
        """The run is over, in whatever way; ``run.record.state`` says how.

        Raises:
            GsnrError: Something could not be written. The callbacks after this one are called all
                the same.
        """
