"""``python -m gsnr_sweep cancel``: stop a sweep, cleanly if there is time."""

from __future__ import annotations

import time

from rich.console import Console

from gsnr_sweep.cli.commands.closing import close_runs
from gsnr_sweep.cli.commands.overview import view_runs
from gsnr_sweep.cli.commands.status import is_over
from gsnr_sweep.launcher.jobs import backend_of
from gsnr_sweep.records.leases import standing
from gsnr_sweep.records.manifest import Manifest
from gsnr_sweep.tracking.sweep_tracker import close_parent
from gsnr_sweep.tracking.sync import send_unsent

_SECONDS_BETWEEN_LOOKS = 0.5


def cancel(manifest: Manifest, console: Console, seconds: float = 60.0) -> None:
    """Ask all runs to write a checkpoint and stop, then end what is left.

    Args:
        manifest: The sweep.
        console: Where to print.
        seconds: How long to wait for runs to stop by themselves; 0 to end them at once.
    """
    if is_over(manifest):
        console.print(f"Sweep {manifest.id} is over: there is nothing to stop.", markup=False)
        return
    backend = backend_of(manifest)
    manifest.stop_file.touch()
    backend.cancel(manifest.jobs, pending_only=True)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and _under_way(manifest):
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    states = backend.states(manifest.jobs)
    left = [job for job in manifest.jobs if states[job.id].phase != "gone"]
    backend.cancel(left)
    close_runs(manifest, "the sweep was cancelled", dead_only=False)
    if manifest.uri and manifest.parent_run_id:
        unsent, problem = send_unsent(manifest)
        if unsent:
            console.print(f"{unsent} run(s) could not be sent to MLflow ({problem}).", markup=False)
        close_parent(manifest, "KILLED")
    views = view_runs(manifest)
    done = sum(view.over for view in views)
    console.print(
        f"Sweep {manifest.id} is stopped with {done} of {len(views)} runs done. The same command "
        f"goes on from here: {manifest.command}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _under_way(manifest: Manifest) -> bool:
    return any(standing(manifest.folder_of(run)).state.under_way for run in manifest.to_run())
