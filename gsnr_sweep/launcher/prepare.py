"""A sweep before its first job: what its runs are, and what workers and later commands need."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from gsnr_sweep.config.program import command_line
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.launcher.history import History
from gsnr_sweep.launcher.jobs import JobPool
from gsnr_sweep.launcher.reuse import axes_of, has_jobs, name_runs, plan_runs
from gsnr_sweep.launcher.settings import Settings
from gsnr_sweep.launcher.summary import relative
from gsnr_sweep.preflight.check import CheckedPoint
from gsnr_sweep.records.leases import close_killed
from gsnr_sweep.records.manifest import SWEEP_FILE, Manifest
from gsnr_sweep.records.record import flatten
from gsnr_sweep.records.sent import read_sent
from gsnr_sweep.records.state import Action, State
from gsnr_sweep.records.status import other_run
from gsnr_sweep.tracking.exporter import Exporter
from gsnr_sweep.tracking.store import open_store
from gsnr_sweep.tracking.sweep_tracker import (
    COMMAND_TAG,
    GRID_TAG,
    NOTE_TAG,
    RUNS_TAG,
    SweepTracker,
    first_note,
)
from gsnr_sweep.tracking.sync import send_again
from gsnr_sweep.tracking.uri import recorded_uri, tracking_uri, uri_for_files, without_password

if TYPE_CHECKING:
    from mlflow import MlflowClient

    Store = tuple[MlflowClient, str]

_AXES_IN_NAME = 4


def refuse_a_busy_folder(folder: Path) -> None:
    """Refuse a folder in which another sweep is at work.

    Raises:
        GsnrError: A sweep in this folder still has jobs.
    """
    if (folder / SWEEP_FILE).is_file() and has_jobs(Manifest.read(folder)):
        raise GsnrError(
            f"hydra.sweep.dir={relative(folder)}: a sweep in this folder still has jobs. Choose "
            f"another folder, or stop it first: python -m gsnr_sweep cancel {relative(folder)}"
        )


def refuse_folders_of_others(manifest: Manifest) -> None:
    """Refuse a sweep folder in which a run would come to lie upon another one.

    Raises:
        GsnrError: One of the runs' folders holds a run with other settings.
    """
    for run in manifest.to_run():
        if other := other_run(manifest.folder_of(run), run.config_hash):
            raise GsnrError(
                f"hydra.sweep.dir={relative(manifest.folder)}: folder {run.folder} in it holds the "
                f"run {other}, which has other settings than {run.name}. Choose another folder, or "
                "leave hydra.sweep.dir out: earlier results are found and reused wherever they lie "
                "below the folder of the launch."
            )


def plan_sweep(
    points: Sequence[CheckedPoint],
    overrides: Sequence[Sequence[str]],
    history: History,
    settings: Settings,
    folder: Path,
    launch_folder: Path,
    first_index: int,
) -> Manifest:
    """Say what is done about every grid point.

    Args:
        points: The grid points.
        overrides: What each of them sets.
        history: Earlier runs of the same identities.
        settings: Of the launcher.
        folder: The sweep's folder.
        launch_folder: Holds the default tracking store.
        first_index: Hydra's number of the first run.
    """
    tracking, preset = points[0].cfg.tracking, points[0].cfg.preset
    uri = tracking_uri(tracking, launch_folder) if tracking.name == "mlflow" else ""
    return Manifest(
        id=uuid.uuid4().hex[:8],
        name=tracking.sweep_name or _default_name(points, overrides),
        folder=folder,
        command=without_password(command_line()),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        backend=JobPool.place(settings),
        experiment=tracking.experiment,
        uri=uri_for_files(uri, launch_folder),
        launch_folder=str(launch_folder),
        max_retries=settings.max_retries,
        preset=asdict(preset),
        runs=plan_runs(points, name_runs(points, overrides), history, folder, first_index),
    )


def _default_name(points: Sequence[CheckedPoint], overrides: Sequence[Sequence[str]]) -> str:
    """Name a sweep by what people tell it from others by: experiment or data, time, axes."""
    first, axes = points[0].cfg, list(axes_of(overrides))
    now = datetime.now().strftime("%Y-%m-%d %H:%M:%S")
    shown = axes if len(axes) <= _AXES_IN_NAME else [*axes[: _AXES_IN_NAME - 1], "…"]
    told = f" ({' × '.join(shown)})" if shown else ""
    return f"{first.preset.name or first.data.name} sweep {now}{told}"


def open_tracking(manifest: Manifest) -> Store | None:
    """Open the sweep's store, if it is tracked; this leaves nothing that would have to be closed.

    Raises:
        GsnrError: The store cannot be opened.
    """
    if not manifest.uri:
        return None
    uri = recorded_uri(manifest.uri, Path(manifest.launch_folder))
    return open_store(uri, manifest.experiment)


def start_tracking(
    store: Store | None,
    manifest: Manifest,
    points: Sequence[CheckedPoint],
    overrides: Sequence[Sequence[str]],
) -> SweepTracker | None:
    """Create the sweep's own run in MLflow, if it is tracked, and name the sweep after it.

    Raises:
        GsnrError: The store does not answer.
    """
    if store is None:
        return None
    tracker = SweepTracker.start(
        *store,
        manifest.name,
        _shared_params(points),
        {
            COMMAND_TAG: manifest.command,
            GRID_TAG: without_password(str(axes_of(overrides))),
            RUNS_TAG: str(len(points)),
            "gsnr.folder": str(manifest.folder),
            "gsnr.preset": json.dumps(manifest.preset),
            NOTE_TAG: first_note(manifest.command),
        },
    )
    manifest.parent_run_id, manifest.id = tracker.run_id, tracker.run_id[:8]
    return tracker


def close_killed_runs(history: History, launch_folder: Path) -> None:
    """Close, in MLflow too, the runs of earlier launches whose process died before it could."""
    killed = [
        run.folder
        for runs in history.runs.values()
        for run in runs
        if run.state == State.KILLED and run.folder and close_killed(run.folder, run.attempt)
    ]
    Exporter(launch_folder).send_all(killed)


def send_reused_again(manifest: Manifest, console: Console) -> None:
    """Send the runs to be reused that MLflow has no more, and say so."""
    reused = [run for run in manifest.runs if run.folder and run.action in _REUSED]
    if not manifest.uri or not reused:
        return
    folders = {manifest.folder_of(run): None for run in reused}
    count, problem = send_again(folders, Path(manifest.launch_folder))
    for run in reused:
        run.run_id = read_sent(manifest.folder_of(run)).run_id or run.run_id
    if count:
        told = f"still missing ({problem})" if problem else "sent again, as new runs"
        console.print(
            f"{count} reused run(s) had been deleted in MLflow: {told}.",
            style="yellow",
            markup=False,
        )


_REUSED = (Action.REUSE, Action.REPEAT)


def _shared_params(points: Sequence[CheckedPoint]) -> dict[str, Any]:
    """Return the parameters that all runs have in common."""
    flat = [flatten(asdict(point.cfg)) for point in points]
    return {
        key: value
        for key, value in flat[0].items()
        if not key.startswith("tracking.") and all(other.get(key) == value for other in flat)
    }
