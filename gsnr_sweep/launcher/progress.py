"""Live progress of a sweep with an ETA, drawn from the runs' status files."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console
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

from gsnr_sweep.launcher.backend import Job, Outcome
from gsnr_sweep.status import Status, read_status

_DONE = {"finished", "failed", "diverged"}


class EtaColumn(ProgressColumn):
    """Time left, from the pace since the start: runs are long and their pace is steady."""

    def render(self, task: Task) -> Text:
        """Write the time left of one task."""
        if not task.fields.get("eta") or not task.completed or task.finished or not task.total:
            return Text("")
        left = (task.elapsed or 0) * (task.total - task.completed) / task.completed
        return Text(f"ETA {clock(left)}", style="progress.remaining")


def clock(seconds: float) -> str:
    """Write a duration as people read it, such as ``1:02:03`` or ``4:05``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _note(status: Status) -> str:
    if status.state == "preparing":
        return "preparing data and network"
    return f"epoch {status.epoch} of {status.epochs}"


class SweepProgress:
    """One bar for the grid and one for each run under way; a line for each run that ended.

    Bars are drawn on a terminal only; the lines are printed everywhere.
    """

    def __init__(self, jobs: Sequence[Job], console: Console) -> None:
        """Prepare for a list of jobs."""
        self._jobs = list(jobs)
        self._console = console
        self._ended: set[int] = set()
        self._failed = 0
        self._bars: dict[int, TaskID] = {}
        self._total_cost = sum(job.cost for job in jobs) or 1.0
        self._started = time.monotonic()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=28),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            EtaColumn(),
            TextColumn("{task.fields[note]}", style="dim"),
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
        self._progress.stop()

    def look(self) -> None:
        """Read the status files and redraw."""
        if not self._console.is_terminal:
            return
        done = 0.0
        for job in self._jobs:
            share = 1.0 if job.index in self._ended else self._look_at(job)
            done += share * job.cost
        self._progress.update(self._all, completed=done / self._total_cost)

    def ended(self, outcome: Outcome) -> None:
        """Take note of a run that ended and print its line."""
        index = outcome.job.index
        self._ended.add(index)
        if index in self._bars:
            self._progress.remove_task(self._bars.pop(index))
        self._failed += outcome.result is None
        self._progress.update(self._all, description=self._headline())
        self._console.print(self._line(outcome), highlight=False)

    def _headline(self) -> str:
        failed = f", {self._failed} failed" if self._failed else ""
        return f"[bold]{len(self._ended)}/{len(self._jobs)} runs{failed}"

    def _look_at(self, job: Job) -> float:
        status = read_status(job.folder)
        if status is None or status.state in _DONE:
            return 0.0 if status is None else 1.0
        if job.index not in self._bars:
            self._bars[job.index] = self._progress.add_task(
                job.name, total=max(status.epochs, 1), note="", eta=False
            )
        self._progress.update(
            self._bars[job.index],
            completed=status.epoch,
            note=status.message or _note(status),
        )
        return status.epoch / max(status.epochs, 1)

    def _line(self, outcome: Outcome) -> Text:
        count = f"[{len(self._ended)}/{len(self._jobs)}]"
        if outcome.result is None:
            line = Text(f"{count} {outcome.job.name}  FAILED: {outcome.error}", style="red")
            line.no_wrap = False
            return line
        record = outcome.result.record
        last = record.measurements[-1] if record.measurements else None
        values = ""
        if last is not None and {"osgr_lhs", "osgr_rhs"} <= set(last.metrics):
            values = (
                f"  epoch {last.epoch}: LHS {last.metrics['osgr_lhs']:.3f}"
                f"  RHS {last.metrics['osgr_rhs']:.3f}"
            )
        took = clock(record.summary.get("wall_time_s", 0.0))
        line = Text(f"{count} {outcome.job.name}  {took}{values}")
        if outcome.result.untracked and outcome.result.untracked != "tracking=none":
            line.append("  (record on disk only)", style="yellow")
        return line
