"""Sending to MLflow what it does not have yet: all records are on disk."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from gsnr_sweep.config.schema import TrackingConfig
from gsnr_sweep.records.layout import run_folders
from gsnr_sweep.records.leases import close_killed, standing
from gsnr_sweep.records.manifest import Manifest
from gsnr_sweep.records.record import RECORD_FILE, RunRecord, read_record
from gsnr_sweep.records.state import State
from gsnr_sweep.records.status import STATUS_FILE, read_status, write_status
from gsnr_sweep.tracking.run_tracker import RunTracker, artifact_files, run_key
from gsnr_sweep.tracking.store import MLFLOW_STATUS


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
        if now.state == State.KILLED and now.lease:
            close_killed(folder, now.lease.number)
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


def send_record(folder: Path, launch_folder: Path) -> str:
    """Send the record of a run that has ended and whose results MLflow does not have.

    Args:
        folder: The run's output folder.
        launch_folder: Holds the default tracking store.

    Returns:
        Why it could not be sent; empty if MLflow has everything now.
    """
    record, status = RunRecord.read(folder / RECORD_FILE), read_status(folder)
    if status is None:
        return f"there is no {STATUS_FILE} in {folder}"
    known = {item.name for item in fields(TrackingConfig)}
    cfg = TrackingConfig(**{k: v for k, v in record.config["tracking"].items() if k in known})
    tracker = RunTracker(
        cfg, launch_folder, status.run_id, key=run_key(folder, cfg), may_exist=True
    )
    tracker.start(record)
    tracker.describe_data(record.data)
    if not tracker.problem:
        tracker.finish(record, artifact_files(folder))
    now = read_status(folder)
    if now is not None and (now.attempt, now.state) == (status.attempt, status.state):
        status.run_id, status.tracked = tracker.run_id, not tracker.problem
        write_status(folder, status)  # else somebody took the run up meanwhile
    return tracker.problem
