"""How far a sweep is: each run's state, progress and last measurement."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass

from gsnr_sweep.records.leases import Standing, standing
from gsnr_sweep.records.manifest import Manifest, SweepRun
from gsnr_sweep.records.state import Action, State

_ORDER = (
    State.FINISHED,
    State.PREPARING,
    State.RUNNING,
    State.WAITING,
    State.INTERRUPTED,
    State.KILLED,
    State.FAILED,
    State.DIVERGED,
)


@dataclass(frozen=True)
class RunView:
    """One run as people want to see it.

    Attributes:
        run: The run.
        state: As in `gsnr_sweep.records.leases.Standing`; ``reused`` for one that an earlier
            launch finished, ``elsewhere`` for one that another launch is at.
        share: How much of it is done, 0 to 1.
        epochs: Epochs done and to do, empty if unknown.
        seconds_left: Until its end, None if unknown.
        host: Where it runs or ran.
        message: Last measurement, or what went wrong.
    """

    run: SweepRun
    state: str
    share: float
    epochs: str = ""
    seconds_left: float | None = None
    host: str = ""
    message: str = ""

    @property
    def over(self) -> bool:
        """Whether nothing is going to change without a new launch."""
        return self.state in (*filter(lambda each: each.over, State), "reused", Action.REPEAT)


def view_runs(manifest: Manifest) -> list[RunView]:
    """Look at all runs of a sweep."""
    return [_view(run, manifest) for run in manifest.runs]


def _view(run: SweepRun, manifest: Manifest) -> RunView:
    if run.action == Action.REPEAT:
        return RunView(run, Action.REPEAT, 1.0, message=run.note)
    if run.action == Action.REUSE and not run.folder:
        return RunView(run, "reused", 1.0, message=run.note)
    now = standing(manifest.folder_of(run))
    state: str = now.state
    if run.action == Action.REUSE and now.state == State.FINISHED:
        state = "reused"
    elif run.action == Action.ELSEWHERE and now.state.under_way:
        state = Action.ELSEWHERE
    return _from_standing(run, state, now)


def _from_standing(run: SweepRun, state: str, now: Standing) -> RunView:
    status = now.status
    if status is None:
        return RunView(run, state, 0.0, message=now.error)
    over = now.state.over
    share = 1.0 if over else status.epoch / max(status.epochs, 1)
    epochs = f"{status.epoch}/{status.epochs}" if status.epochs else ""
    left = _seconds_left(now) if now.state.under_way else None
    return RunView(run, state, share, epochs, left, status.host, now.error or status.message)


def _seconds_left(now: Standing) -> float | None:
    """Extrapolate the pace of this attempt."""
    status = now.status
    if status is None or status.epoch <= status.started_at:
        return None
    pace = (status.updated - status.started) / (status.epoch - status.started_at)
    return max(0.0, pace * (status.epochs - status.epoch) - (time.time() - status.updated))


def headline(manifest: Manifest, views: list[RunView]) -> str:
    """Sum up a sweep in a line, such as ``12 of 36 done: 10 finished, 2 running``."""
    counts = Counter(view.state for view in views)
    order = ("reused", *_ORDER, Action.ELSEWHERE, Action.REPEAT)
    parts = [f"{counts[state]} {state}" for state in order if counts[state]]
    done = sum(view.over for view in views)
    return f"{manifest.name} ({manifest.id}): {done} of {len(views)} done: {', '.join(parts)}"


def cost_done(views: list[RunView]) -> float:
    """Return how much of the sweep's work is done, 0 to 1."""
    own = [view for view in views if view.run.action == Action.RUN]
    total = sum(view.run.cost for view in own)
    return sum(view.share * view.run.cost for view in own) / total if total else 1.0
