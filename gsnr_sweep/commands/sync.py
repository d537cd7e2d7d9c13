"""``python -m gsnr_sweep sync``: send to MLflow what it does not have."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from gsnr_sweep.commands.closing import close_sweep
from gsnr_sweep.manifest import Manifest
from gsnr_sweep.sync import send_unsent, unsent_runs


def sync(sweeps: Sequence[Manifest], console: Console) -> int:
    """Send the records of runs that are over and that MLflow lacks.

    Returns:
        The exit code: 1 if something could not be sent.
    """
    failed = 0
    for manifest in sweeps:
        waiting = unsent_runs(manifest) if manifest.uri else []
        if not waiting:
            close_sweep(manifest)
            continue
        left, problem = send_unsent(manifest)
        if not left:
            close_sweep(manifest)
        text = f"{manifest.name} ({manifest.id}): {len(waiting) - left} of {len(waiting)} runs sent"
        console.print(f"{text}; {problem}" if problem else text, markup=False)
        failed += left
    if not failed:
        console.print("MLflow has everything that is on disk.")
    return 1 if failed else 0
