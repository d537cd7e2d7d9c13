"""``python -m gsnr_sweep status``: how far a sweep is."""

from __future__ import annotations

import time
from collections import Counter

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gsnr_sweep.cli.commands.overview import RunView, cost_done, headline, view_runs
from gsnr_sweep.launcher.jobs import backend_of
from gsnr_sweep.records.manifest import Manifest
from gsnr_sweep.records.state import State
from gsnr_sweep.wording import describe_duration

_COLOURS = {
    State.FINISHED: "green",
    "reused": "green",
    State.RUNNING: "cyan",
    State.PREPARING: "cyan",
    State.FAILED: "red",
    State.DIVERGED: "red",
    State.KILLED: "red",
    State.INTERRUPTED: "yellow",
}
# Of runs in these states it helps to know the machine.
_WITH_HOST = (
    *(State.PREPARING, State.RUNNING),
    *(State.KILLED, State.FAILED, State.INTERRUPTED),
)
_SECONDS_BETWEEN_LOOKS = 2.0


def show_status(manifest: Manifest, console: Console, watch: bool = False) -> None:
    """Print a table of the runs; with `watch`, keep it up to date until the sweep is over."""
    if not watch:
        console.print(draw(manifest))
        return
    with Live(draw(manifest), console=console, auto_refresh=False) as live:
        while not is_over(manifest):
            time.sleep(_SECONDS_BETWEEN_LOOKS)
            manifest = Manifest.read(manifest.folder)
            live.update(draw(manifest), refresh=True)


def is_over(manifest: Manifest) -> bool:
    """Whether nothing more is going to happen without a new launch."""
    views = view_runs(manifest)
    if all(view.over for view in views):
        return True
    return not any(state in ("pending", "running") for state in _job_phases(manifest))


def _job_phases(manifest: Manifest) -> list[str]:
    backend = backend_of(manifest)
    return [state.phase for state in backend.states(manifest.jobs).values()]


def draw(manifest: Manifest) -> RenderableType:
    """Lay the sweep out as a table with a line above it."""
    views = view_runs(manifest)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("#", justify="right")
    table.add_column("run", overflow="fold")
    table.add_column("state")
    table.add_column("epochs", justify="right", no_wrap=True)
    table.add_column("left", justify="right", no_wrap=True)
    table.add_column("host", overflow="fold")
    table.add_column("last", overflow="fold")
    for view in views:
        table.add_row(*_cells(view))
    jobs = Counter(_job_phases(manifest))
    lines = [
        Text(headline(manifest, views), "bold"),
        Text(f"{manifest.backend}: {_jobs(jobs)}; {cost_done(views):.0%} of the work is done"),
    ]
    if waiting := [
        view for view in views if view.state in (State.KILLED, State.INTERRUPTED, State.FAILED)
    ]:
        alive = jobs["pending"] + jobs["running"]
        hint = "" if alive else f" The same command resumes them: {manifest.command}"
        lines.append(Text(f"{len(waiting)} run(s) are stopped or failed.{hint}", "yellow"))
    return Group(*lines, table)


def _jobs(phases: Counter[str]) -> str:
    words = {"running": "running", "pending": "waiting in the queue", "gone": "over"}
    parts = [f"{phases[phase]} {text}" for phase, text in words.items() if phases[phase]]
    return f"jobs: {', '.join(parts)}" if parts else "no jobs"


def _cells(view: RunView) -> list[Text]:
    left = "" if view.seconds_left is None else describe_duration(view.seconds_left)
    host = view.host if view.state in _WITH_HOST else ""
    colour = _COLOURS.get(view.state, "")
    texts = [str(view.run.index), view.run.name, view.state, view.epochs, left, host, view.message]
    return [Text(text, colour if i == 2 else "") for i, text in enumerate(texts)]
