"""Live progress of a sweep with an ETA, drawn from the runs' status files."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from gsnr_sweep.launcher.monitor import Outcome
from gsnr_sweep.records.manifest import SweepRun
from gsnr_sweep.records.record import read_record
from gsnr_sweep.records.state import State
from gsnr_sweep.records.status import Status, read_status
from gsnr_sweep.wording import describe_duration, describe_epoch


class EtaColumn(ProgressColumn):
    """Time left, from the pace since the start: runs are long and their pace is steady."""

    def render(self, task: Task) -> Text:
        """Write the time left of one task."""
        if not task.fields.get("eta") or not task.completed or task.finished or not task.total:
            return Text("")
        left = (task.elapsed or 0) * (task.total - task.completed) / task.completed
        return Text(f"ETA {describe_duration(left)}", style="progress.remaining")


def _note(status: Status) -> str:
    if status.state == State.PREPARING:
        return "preparing data and network"
    return f"epoch {status.epoch} of {status.epochs}"


def _work(run: SweepRun, status: Status | None) -> tuple[float, float]:
    """Return what a run has cost so far, and what it costs up to its last epoch.

    What an earlier launch has done of it counts for neither, for it says nothing about the pace.
    """
    if status is None or status.epochs <= run.resume_epoch:
        over = status is not None and status.state.over
        return (run.cost if over else 0.0), run.cost
    an_epoch = run.cost / status.epochs
    done = max(0, status.epoch - run.resume_epoch)
    return done * an_epoch, (status.epochs - run.resume_epoch) * an_epoch


class SweepProgress:
    """One bar for the grid and one for each run under way; a line for each run that ended.

    Bars are drawn on a terminal only; the lines are printed everywhere.
    """

    def __init__(
        self, runs: Sequence[SweepRun], folder_of: Callable[[SweepRun], Path], console: Console
    ) -> None:
        """Prepare for a list of runs.

        Args:
            runs: The runs to follow.
            folder_of: Tells a run's folder.
            console: Where to draw.
        """
        self._runs = list(runs)
        self._folder_of = folder_of
        self._console = console
        self._ended: set[int] = set()
        self._failed = 0
        self._warned: set[str] = set()
        self._bars: dict[int, TaskID] = {}
        self._finished: list[tuple[float, float]] = []  # work done, and up to the last epoch
        self._next_look = 0.0
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=28),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            EtaColumn(),
            TextColumn("{task.fields[note]}", style="dim", markup=False),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._all = self._progress.add_task(self._headline(), total=1.0, note="", eta=True)

    def __enter__(self) -> SweepProgress:
        """Start drawing."""
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop drawing."""
        if self._console.is_terminal:  # elsewhere there are no bars, and Rich 13 adds a line
            self._progress.stop()

    def look(self) -> None:
        """Read the status files and redraw, not more often than is worth the reading."""
        started = time.monotonic()
        if not self._console.is_terminal or started < self._next_look:
            return
        done = left = 0.0
        expected = self._expected_share()
        for run in self._runs:
            own, whole = _work(run, self._look_at(run))
            done += own
            left += 0.0 if run.index in self._ended else max(0.0, expected * whole - own)
        self._progress.update(self._all, completed=done / (done + left) if left else 1.0)
        self._next_look = time.monotonic() + max(0.25, 5 * (time.monotonic() - started))

    def _expected_share(self) -> float:
        """Return the share of its epochs that a run takes, as those have that are finished.

        It is below 1 where stopping rules end runs before the last epoch.
        """
        done, whole = (sum(each[i] for each in self._finished) for i in (0, 1))
        return done / whole if whole else 1.0

    def say(self, text: str) -> None:
        """Print a line above the bars."""
        self._console.print(Text(text, style="yellow"))

    def warn_of_store(self, problem: str) -> None:
        """Say, once for each problem, that MLflow does not take what is sent to it."""
        if problem and problem not in self._warned:
            self._warned.add(problem)
            self.say(f"{problem}. Records stay on disk and are sent when the store is back.")

    def ended(self, outcome: Outcome) -> None:
        """Take note of a run that ended and print its line."""
        index = outcome.run.index
        self._ended.add(index)
        self._drop_bar(index)
        if not outcome.error:
            self._finished.append(_work(outcome.run, read_status(outcome.folder)))
        self._failed += bool(outcome.error)
        self._progress.update(self._all, description=self._headline())
        self._console.print(self._line(outcome), highlight=False)

    def _drop_bar(self, index: int) -> None:
        if index in self._bars:
            self._progress.remove_task(self._bars.pop(index))

    def _headline(self) -> str:
        failed = f", {self._failed} failed" if self._failed else ""
        return f"[bold]{len(self._ended)}/{len(self._runs)} runs{failed}"

    def _look_at(self, run: SweepRun) -> Status | None:
        """Read a run's status, and draw its bar while it is under way."""
        status = read_status(self._folder_of(run))
        if status is None or not status.state.under_way or run.index in self._ended:
            self._drop_bar(run.index)
            return status
        if run.index not in self._bars:
            self._bars[run.index] = self._progress.add_task(
                escape(run.name), total=max(status.epochs, 1), note="", eta=False
            )
        note = status.message or _note(status)
        self._progress.update(self._bars[run.index], completed=status.epoch, note=note)
        return status

    def _line(self, outcome: Outcome) -> Text:
        count = f"[{len(self._ended)}/{len(self._runs)}]"
        if outcome.error:
            line = Text(f"{count} {outcome.run.name}  FAILED: {outcome.error}", style="red")
            line.no_wrap = False
            return line
        return Text(f"{count} {outcome.run.name}  {_result(outcome.folder)}")


def _result(folder: Path) -> str:
    """Put a finished run's duration and its last measurement into a few words."""
    record = read_record(folder)
    if record is None:
        return ""
    took = describe_duration(record.summary.get("wall_time_s", 0.0))
    last = record.measurements[-1] if record.measurements else None
    if last is None or not {"osgr_lhs", "osgr_rhs"} <= set(last.metrics):
        return took
    lhs, rhs = last.metrics["osgr_lhs"], last.metrics["osgr_rhs"]
    return f"{took}  epoch {describe_epoch(last.epoch)}: LHS {lhs:.3f}  RHS {rhs:.3f}"
