"""Sending to MLflow what it does not have yet: all records are on disk."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.records.layout import run_folders
from gsnr_sweep.records.leases import close_killed, standing
from gsnr_sweep.records.manifest import Manifest
from gsnr_sweep.records.record import read_record
from gsnr_sweep.records.sent import is_sent, note_missing
from gsnr_sweep.records.state import State
from gsnr_sweep.records.status import read_status
from gsnr_sweep.tracking.exporter import Exporter
from gsnr_sweep.tracking.turns import LAUNCHER, export_turn, exporting

_PATIENCE = 5.0
_PATIENCE_OF_WORKERS = 60.0


def unsent_runs(manifest: Manifest) -> list[Path]:
    """Return the folders of the sweep's runs that are over and not completely in MLflow."""
    folders = [manifest.folder_of(run) for run in manifest.to_run()] if manifest.uri else []
    return [folder for folder in folders if _waiting(folder)]


def send_unsent(manifest: Manifest, who: str = "command") -> tuple[int, str]:
    """Send what MLflow does not have of runs that are over; what it has is not doubled.

    Args:
        manifest: The sweep.
        who: As in `gsnr_sweep.tracking.turns.export_turn`.

    Returns:
        How many runs are still unsent, and why; 0 and an empty text if all is well.
    """
    waiting = unsent_runs(manifest)
    for folder in waiting:
        now = standing(folder)
        if now.state == State.KILLED and now.lease:
            close_killed(folder, now.lease.number)
    return _send(manifest, waiting, who, _PATIENCE)


def lost_runs(manifest: Manifest) -> list[Path]:
    """Return the folders of the sweep's runs that MLflow had and has no more.

    Raises:
        GsnrError: The store cannot be read.
    """
    folders = [manifest.folder_of(run) for run in manifest.to_run()] if manifest.uri else []
    sent = [folder for folder in folders if is_sent(folder)]
    return Exporter(Path(manifest.launch_folder)).lost(sent)


def send_again(folders: Iterable[Path], launch_folder: Path) -> tuple[int, str]:
    """Send, as new runs, what MLflow had and has no more: somebody deleted it, and asks for it now.

    Args:
        folders: Of runs that are over.
        launch_folder: Holds the default store.

    Returns:
        How many were missing, and why they are still; an empty text if they are not.
    """
    exporter = Exporter(launch_folder)
    try:
        lost = exporter.lost(folders)
        for folder in lost:
            note_missing(folder)
    except GsnrError as error:
        return 0, str(error)
    return len(lost), exporter.send_all(lost)[1]


def send_what_is_left(manifest: Manifest, who: str) -> None:
    """Send, as a worker of a sweep without launcher, what nobody may send after it."""
    if manifest.uri and exporting(manifest.folder) != LAUNCHER:
        ended = [folder for folder in unsent_runs(manifest) if _is_to_be_tracked(folder)]
        _send(manifest, ended, who, _PATIENCE_OF_WORKERS)


def _send(manifest: Manifest, folders: list[Path], who: str, patience: float) -> tuple[int, str]:
    if not folders:
        return 0, ""
    try:
        with export_turn(manifest.folder, who, patience) as mine:
            if not mine:
                return len(folders), "another process of the sweep is sending them"
            return Exporter(Path(manifest.launch_folder)).send_all(folders)
    except GsnrError as error:
        return len(folders), str(error)


def unsent_single_runs(launch_folder: Path) -> list[Path]:
    """Return the folders of runs launched alone that are over and not completely in MLflow."""
    folders = [folder for folder in run_folders([launch_folder / "outputs"]) if _waiting(folder)]
    return [folder for folder in folders if _is_to_be_tracked(folder)]


def _waiting(folder: Path) -> bool:
    """Whether a run is over and has something that MLflow lacks; it may fail before it has."""
    status = read_status(folder)
    over = status is not None and not status.alive and not is_sent(folder)
    return over and read_record(folder) is not None


def _is_to_be_tracked(folder: Path) -> bool:
    record = read_record(folder)
    if record is None or record.state.under_way:
        return False
    return bool(record.config.get("tracking", {}).get("name") == "mlflow")
