"""``python -m gsnr_sweep sync``: send to MLflow what it does not have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from gsnr_sweep.cli.commands.closing import close_sweep
from gsnr_sweep.records.manifest import Manifest
from gsnr_sweep.tracking.exporter import Exporter
from gsnr_sweep.tracking.sync import send_unsent, unsent_runs, unsent_single_runs


def sync(sweeps: Sequence[Manifest], console: Console, here: Path | None = None) -> int:
    """Send the records of runs that are over and that MLflow lacks.

    Args:
        sweeps: The sweeps to look through.
        console: Where to print.
        here: Folder of runs launched alone that are to be sent, too; None for none.

    Returns:
        The exit code: 1 if something could not be sent.
    """
    failed = 0
    for manifest in sweeps:
        waiting = unsent_runs(manifest)
        if not waiting:
            close_sweep(manifest)
            continue
        left, problem = send_unsent(manifest)
        if not left:
            close_sweep(manifest)
        text = f"{manifest.name} ({manifest.id}): {len(waiting) - left} of {len(waiting)} runs sent"
        console.print(f"{text}; {problem}" if problem else text, markup=False)
        failed += left
    failed += _send_single_runs(here, console) if here is not None else 0
    if not failed:
        console.print("MLflow has everything that is on disk.")
    return 1 if failed else 0


def _send_single_runs(here: Path, console: Console) -> int:
    """Send runs that were launched alone; return how many could not be sent."""
    waiting = unsent_single_runs(here)
    left, problem = Exporter(here).send_all(waiting)
    if waiting:
        text = f"runs alone: {len(waiting) - left} of {len(waiting)} sent"
        console.print(f"{text}; {problem}" if problem else text, markup=False)
    return left
