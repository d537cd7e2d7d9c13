"""Sending to MLflow what it does not have yet: all records are on disk."""

from __future__ import annotations

from pathlib import Path

from gsnr_sweep.launcher.claims import close_killed, standing
from gsnr_sweep.launcher.ledger import run_folders
from gsnr_sweep.manifest import Manifest
from gsnr_sweep.record import RECORD_FILE, RunRecord
from gsnr_sweep.status import UNDER_WAY, read_status
from gsnr_sweep.tracking import MLFLOW_STATUS, send_record


def unsent_runs(manifest: Manifest) -> list[Path]:
    """Return the folders of the sweep's runs that are over and not completely in MLflow."""
    found = []
    for run in manifest.to_run():
        folder = manifest.folder_of(run)
        status = read_status(folder)
        over = status and not (status.state in UNDER_WAY and status.alive)
        if status and over and not status.tracked and _has_record(folder):
            found.append(folder)
    return found


def send_unsent(manifest: Manifest) -> tuple[int, str]:
    """Send what MLflow does not have; what it has is not doubled.

    Args:
        manifest: The sweep.

    Returns:
        How many runs are still unsent, and why; 0 and an empty text if all is well.
    """
    waiting = unsent_runs(manifest) if manifest.uri else []
    for done, folder in enumerate(waiting):
        now = standing(folder)
        if now.state == "killed" and now.claim:
            close_killed(folder, now.claim.number)
        if problem := send_record(folder, Path(manifest.launch_folder)):
            return len(waiting) - done, problem  # the next would meet the same store
    return 0, ""


def unsent_single_runs(launch_folder: Path) -> list[Path]:
    """Return the folders of runs launched alone that are over and not completely in MLflow."""
    found = []
    for folder in run_folders([launch_folder / "outputs"]):
        status = read_status(folder)
        over = status and not (status.state in UNDER_WAY and status.alive)
        if status and over and not status.tracked and _is_to_be_tracked(folder):
            found.append(folder)
    return found


def _is_to_be_tracked(folder: Path) -> bool:
    if not _has_record(folder):
        return False
    record = RunRecord.read(folder / RECORD_FILE)
    tracking = record.config.get("tracking", {}).get("name") == "mlflow"
    return tracking and record.state in MLFLOW_STATUS


def _has_record(folder: Path) -> bool:
    """Whether there is anything to send: a run may fail before it has a record."""
    try:
        RunRecord.read(folder / RECORD_FILE)
    except (OSError, ValueError, TypeError, KeyError):
        return False
    return True
