"""Closing in MLflow what is over: a sweep's own run, after its launcher could not."""

from __future__ import annotations

from gsnr_sweep.cli.commands.overview import view_runs
from gsnr_sweep.cli.commands.status import is_over
from gsnr_sweep.records.leases import close_killed, standing
from gsnr_sweep.records.manifest import Manifest
from gsnr_sweep.records.state import State
from gsnr_sweep.tracking.sweep_tracker import close_parent


def is_complete(manifest: Manifest) -> bool:
    """Whether every run of a sweep has a result."""
    return all(view.state in (State.FINISHED, "reused", "repeat") for view in view_runs(manifest))


def close_sweep(manifest: Manifest) -> None:
    """Close the sweep's run in MLflow if the sweep is over and its run is still open."""
    if manifest.uri and manifest.parent_run_id and is_over(manifest):
        status = "FINISHED" if is_complete(manifest) else "FAILED"
        close_parent(manifest, status)


def close_runs(manifest: Manifest, why: str = "", dead_only: bool = True) -> None:
    """Note of runs whose process is gone that they are over.

    Args:
        manifest: The sweep.
        why: What is known of their end.
        dead_only: Whether to leave alone what still seems to be at work; False after it was ended.
    """
    for run in manifest.to_run():
        folder = manifest.folder_of(run)
        now = standing(folder)
        if now.lease is None or (dead_only and now.state != State.KILLED):
            continue
        close_killed(folder, now.lease.number, why)
