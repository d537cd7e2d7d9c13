"""Sending to MLflow what it does not have yet: all records are on disk."""

from __future__ import annotations

from pathlib import Path

from gsnr_sweep.records.layout import run_folders
from gsnr_sweep.records.leases import close_killed, standing
from gsnr_sweep.records.manifest import Manifest
from gsnr_sweep.records.record import read_record
from gsnr_sweep.records.status import read_status
from gsnr_sweep.tracking.run_tracker import MLFLOW_STATUS, send_record


def unsent_runs(manifest: Manifest) -> list[Path]:
    """Return the folders of the sweep's runs that are over and not completely in MLflow."""
    folders = [manifest.folder_of(run) for run in manifest.to_run()]
    return [folder for folder in folders if _waiting(folder)]


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
    folders = [folder for folder in run_folders([launch_folder / "outputs"]) if _waiting(folder)]
    return [folder for folder in folders if _is_to_be_tracked(folder)]


def _waiting(folder: Path) -> bool:
    """Whether a run is over and has something that MLflow lacks; it may fail before it has."""
    status = read_status(folder)
    over = status is not None and not status.alive and not status.tracked
    return over and read_record(folder) is not None


def _is_to_be_tracked(folder: Path) -> bool:
    record = read_record(folder)
    if record is None or record.state not in MLFLOW_STATUS:
        return False
    return bool(record.config.get("tracking", {}).get("name") == "mlflow")
