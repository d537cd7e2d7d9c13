"""``python -m gsnr_sweep collect``: aggregate what a sweep has so far, and close what is over."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from gsnr_sweep.collect import collect
from gsnr_sweep.commands.overview import headline, view_runs
from gsnr_sweep.commands.status import is_over
from gsnr_sweep.launcher.claims import close_killed, standing
from gsnr_sweep.manifest import Manifest
from gsnr_sweep.sync import send_unsent
from gsnr_sweep.tracking import close_killed_run, close_parent


def collect_command(manifest: Manifest, console: Console) -> int:
    """Aggregate a sweep; once it is over, send what MLflow lacks and close its runs.

    Returns:
        The exit code: 0 unless something failed.
    """
    views = view_runs(manifest)
    console.print(Text(headline(manifest, views), "bold"))
    over = is_over(manifest)
    if over:
        _close_dead(manifest)
        unsent, problem = send_unsent(manifest)
        if unsent:
            console.print(f"{unsent} run(s) could not be sent to MLflow ({problem}).", markup=False)
    result = collect(manifest, console)
    good = all(view.state in ("finished", "reused", "repeat") for view in views)
    if over and manifest.uri and manifest.parent_run_id:
        close_parent(manifest.uri, manifest.parent_run_id, "FINISHED" if good else "FAILED")
    return 0 if result is not None and (good or not over) else 1


def _close_dead(manifest: Manifest) -> None:
    """Note of runs whose process is gone that they are; in MLflow, too."""
    for run in manifest.to_run():
        folder = manifest.folder_of(run)
        now = standing(folder)
        if now.state == "killed" and now.claim and close_killed(folder, now.claim.number):
            run_id = now.status.run_id if now.status else ""
            if manifest.uri and run_id:
                close_killed_run(manifest.uri, run_id)
