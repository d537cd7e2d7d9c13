"""``python -m gsnr_sweep logs``: what runs and jobs have printed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from gsnr_sweep.cli.commands.overview import RunView, view_runs
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.launcher.backends.base import log_files
from gsnr_sweep.records.leases import last_lease
from gsnr_sweep.records.logs import last_lines
from gsnr_sweep.records.manifest import Manifest
from gsnr_sweep.records.state import State

_IN_TROUBLE = tuple(state for state in State if state.in_trouble)


def show_logs(
    manifest: Manifest, console: Console, wanted: Sequence[str] = (), lines: int = 20
) -> None:
    """Print the end of the logs of some runs and of their jobs, and where the whole logs are.

    Args:
        manifest: The sweep.
        console: Where to print.
        wanted: Numbers or names of runs; if there are none, those that have not ended well.
        lines: How much of each log.

    Raises:
        GsnrError: The sweep has no such run.
    """
    views = view_runs(manifest)
    if wanted:
        views = [_the_one(text, views) for text in wanted]
    else:
        views = [view for view in views if view.state in _IN_TROUBLE]
    if not views:
        console.print("No run has failed or was stopped. Name runs to see their logs.")
        _show([p for job in manifest.jobs for p in log_files(manifest.folder, job)], console, lines)
    for view in views:
        console.print(Text(f"{view.run.index}  {view.run.name}: {view.state}", "bold"))
        if view.message:
            console.print(Text(f"  {view.message}"))
        _show(_logs_of(manifest, view), console, lines)


def _the_one(wanted: str, views: Sequence[RunView]) -> RunView:
    found = [view for view in views if wanted in (str(view.run.index), view.run.name)]
    if not found:
        raise GsnrError(
            f"The sweep has no run {wanted!r}. There are: {views[0].run.index} to "
            f"{views[-1].run.index}, by name such as {views[0].run.name!r}."
        )
    return found[0]


def _logs_of(manifest: Manifest, view: RunView) -> list[Path]:
    folder = manifest.folder_of(view.run)
    logs = [folder / "run.log"]
    lease = last_lease(folder)
    jobs = [job for job in manifest.jobs if lease is not None and job.id == lease.job]
    if not jobs and lease is None:
        jobs = [job for job in manifest.jobs if view.run.index in job.runs]
    return logs + [path for job in jobs for path in log_files(manifest.folder, job)]


def _show(logs: Sequence[Path], console: Console, lines: int) -> None:
    for path in logs:
        if not path.is_file():
            continue
        console.print(Text(f"  {path}", "dim"), soft_wrap=True)
        for line in last_lines(path, lines):
            console.print(Text(f"    | {line}"), soft_wrap=True)
