"""The manifest of a sweep: which runs it has, where they are, which jobs work on them.

It lies in the sweep's folder and is all that another process, or another machine that sees the
folder, needs to follow, collect or cancel the sweep.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.records.atomic import write_atomically
from gsnr_sweep.records.reading import from_json, read_json
from gsnr_sweep.records.state import Action

SWEEP_FILE = "sweep.json"
STOP_FILE = "stop"
_SCHEMA = 1


@dataclass
class SweepRun:
    """One grid point of a sweep.

    Attributes:
        index: Hydra's number of the run.
        name: For people.
        config_hash: The run's identity.
        cost: Estimated floating-point operations.
        action: What is done about it.
        folder: Where its record is or will be, relative to the sweep's folder.
        run_id: MLflow run of an earlier launch's result, empty otherwise.
        resume_from: Folder of an interrupted run to go on from, relative likewise; empty if none.
        resume_epoch: Epoch of its checkpoint.
        note: What is to be known of the action, for people.
    """

    index: int
    name: str
    config_hash: str
    cost: float = 0.0
    action: Action = Action.RUN
    folder: str = ""
    run_id: str = ""
    resume_from: str = ""
    resume_epoch: int = 0
    note: str = ""


@dataclass
class SweepJob:
    """One job that was submitted for a sweep.

    Attributes:
        id: The backend's name for it: a process number, or SLURM's job id.
        runs: Indices of the runs that it may work on.
        host: Machine that submitted it.
        submitted: When, seconds since 1970.
        process: Identity of a local job's process, see `gsnr_sweep.records.processes`.
    """

    id: str
    runs: list[int]
    host: str = ""
    submitted: float = 0.0
    process: str = ""


@dataclass
class Manifest:
    """A sweep as its folder knows it.

    Attributes:
        id: Short name, unique among sweeps.
        name: For people.
        folder: The sweep's folder; not stored, since it may be mounted elsewhere.
        command: The command line.
        created: When, ISO 8601, UTC.
        backend: ``local`` or ``slurm``.
        experiment: MLflow experiment.
        uri: Tracking store, empty for none.
        parent_run_id: MLflow run of the sweep, empty if none.
        launch_folder: Where it was launched.
        max_retries: How often a run is tried again.
        preset: The config section ``preset``: experiment, scale, figures.
        runs: In the grid's order.
        jobs: In the order of their submission.
    """

    id: str
    name: str
    folder: Path
    command: str = ""
    created: str = ""
    backend: str = "local"
    experiment: str = ""
    uri: str = ""
    parent_run_id: str = ""
    launch_folder: str = ""
    max_retries: int = 0
    preset: dict[str, Any] = field(default_factory=dict)
    runs: list[SweepRun] = field(default_factory=list)
    jobs: list[SweepJob] = field(default_factory=list)

    def folder_of(self, run: SweepRun) -> Path:
        """Return the folder where a run's record is or will be."""
        return (self.folder / run.folder).resolve()  # links first, then what ".." leads to

    def to_run(self) -> list[SweepRun]:
        """Return the runs that this sweep computes itself."""
        return [run for run in self.runs if run.action == Action.RUN]

    def write(self) -> Path:
        """Write the manifest into the sweep's folder and return the file's path."""
        content: dict[str, Any] = {"schema": _SCHEMA, **asdict(self)}
        del content["folder"]
        content["place"] = _place(self.folder.resolve(), self.launch_folder)
        path = self.folder / SWEEP_FILE
        write_atomically(path, json.dumps(content, indent=1))
        return path

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the manifest in a sweep's folder.

        Raises:
            GsnrError: There is none, or it cannot be read.
        """
        path = folder / SWEEP_FILE
        try:
            content = read_json(path)
            if not isinstance(content, dict) or content.pop("schema", None) != _SCHEMA:
                raise ValueError("another version wrote it, or another program")
            if missing := {"runs", "jobs"} - content.keys():
                raise ValueError(f"it has no {min(missing)}")
            if not isinstance(place := content.pop("place", ""), str):
                raise ValueError("place is no text")
            manifest = from_json(cls, content, skip_unknown=True, folder=folder.absolute())
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise GsnrError(f"{path} is not the manifest of a sweep ({reason}).") from None
        launched = manifest.launch_folder
        manifest.launch_folder = _launch_folder_now(launched, place, folder.resolve())
        return manifest

    @property
    def stop_file(self) -> Path:
        """Return the file whose presence asks all workers to stop."""
        return self.folder / STOP_FILE


def _place(folder: Path, launch_folder: str) -> str:
    """Return where a sweep's folder lies in that of its launch; empty if it lies elsewhere."""
    launched = Path(launch_folder).resolve()
    inside = launch_folder and folder.is_relative_to(launched)
    return str(folder.relative_to(launched)) if inside else ""


def _launch_folder_now(launch_folder: str, place: str, folder: Path) -> str:
    """Return the folder of the launch, also after it was moved or copied with all that is in it."""
    parts = Path(place).parts
    above = folder.parts[: len(folder.parts) - len(parts)]
    if not place or (*above, *parts) != folder.parts:  # the sweep's folder alone was moved
        return launch_folder
    now = Path(*above)
    return launch_folder if Path(launch_folder).resolve() == now else str(now)


def read_manifests(roots: Iterable[Path], places: Sequence[str]) -> list[Manifest]:
    """Read all sweeps below some folders; what cannot be read is no sweep.

    Args:
        roots: The folders.
        places: Where in them sweeps lie, as patterns such as ``*/*/``.
    """
    found = {p.parent for root in roots for place in places for p in root.glob(place + SWEEP_FILE)}
    manifests = []
    for folder in sorted({folder.resolve() for folder in found}):
        with contextlib.suppress(GsnrError):
            manifests.append(Manifest.read(folder))
    return manifests


PAYLOAD_FILE = "payload.pkl"
