"""Closing in MLflow what is over: a sweep's own run, after its launcher could not."""

from __future__ import annotations

from gsnr_sweep.commands.overview import view_runs
from gsnr_sweep.commands.status import is_over
from gsnr_sweep.launcher.claims import close_killed, standing
from gsnr_sweep.manifest import Manifest
from gsnr_sweep.tracking import close_killed_run, close_parent


def is_complete(manifest: Manifest) -> bool:
    """Whether every run of a sweep has a result."""
    return all(view.state in ("finished", "reused", "repeat") for view in view_runs(manifest))


def close_sweep(manifest: Manifest) -> None:
    """Close the sweep's run in MLflow if the sweep is over and its run is still open."""
    if manifest.uri and manifest.parent_run_id and is_over(manifest):
        status = "FINISHED" if is_complete(manifest) else "FAILED"
        close_parent(manifest.uri, manifest.parent_run_id, status)


def close_dead_runs(manifest: Manifest) -> None:
    """Note of runs whose process is gone that they are; in MLflow, too."""
    for run in manifest.to_run():
        folder = manifest.folder_of(run)
        now = standing(folder)
        if now.state == "killed" and now.claim and close_killed(folder, now.claim.number):
            run_id = now.status.run_id if now.status else ""
            if manifest.uri and run_id:
                close_killed_run(manifest.uri, run_id)
