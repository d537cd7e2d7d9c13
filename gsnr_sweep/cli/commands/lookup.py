"""Finding a sweep's folder by whatever its user has at hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.records.manifest import SWEEP_FILE, Manifest, read_manifests
from gsnr_sweep.tracking.uri import missing_file, store_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_LISTED = 5


def find_sweep(wanted: str | None, here: Path, uri: str | None = None) -> Manifest:
    """Find a sweep.

    Args:
        wanted: Its folder, its id or the start of it, its name, or the id of its MLflow run; None
            for the latest one below `here`.
        here: The folder in which sweeps were launched.
        uri: Tracking store, in which a sweep that lies elsewhere is looked up; None for the default
            one.

    Raises:
        GsnrError: There is no such sweep, or more than one.
    """
    if wanted and (Path(wanted) / SWEEP_FILE).is_file():
        return Manifest.read(Path(wanted))
    sweeps = all_sweeps(here)
    if wanted is None:
        if not sweeps:
            raise GsnrError(f"There is no sweep in {here}/multirun. Name one: its folder or id.")
        return sweeps[-1]
    found = [sweep for sweep in sweeps if _is_meant(sweep, wanted)]
    if len(found) == 1:
        return found[0]
    if found:
        raise GsnrError(f"{len(found)} sweeps are called {wanted}:\n{_listing(found)}")
    if (folder := _folder_in_store(wanted, here, uri)) is not None:
        return Manifest.read(folder)
    latest = f" The latest:\n{_listing(sweeps[::-1])}" if sweeps else ""
    raise GsnrError(
        f"There is no sweep {wanted!r} in {here}/multirun or in the tracking store. Give its "
        f"folder, its id or its name, or start this in the folder of its launch.{latest}"
    )


def all_sweeps(here: Path) -> list[Manifest]:
    """Return the sweeps launched in a folder, oldest first."""
    sweeps = read_manifests([here], ("", "*/", "multirun/*/*/", "multirun/*/*/from-*/"))
    return sorted(sweeps, key=lambda sweep: (sweep.created, str(sweep.folder)))


def _is_meant(sweep: Manifest, wanted: str) -> bool:
    ids = [sweep.id, sweep.parent_run_id]
    return sweep.name == wanted or any(i and i.startswith(wanted.lower()) for i in ids)


def _folder_in_store(wanted: str, here: Path, uri: str | None) -> Path | None:
    """Ask the tracking store where a sweep's folder is."""
    found = parent_in_store(wanted, here, uri)
    if found is None:
        return None
    folder = Path(found[1].data.tags.get("gsnr.folder", ""))
    if not (folder / SWEEP_FILE).is_file():
        return None
    there, parent = Manifest.read(folder), found[1].info.run_id
    if there.parent_run_id not in ("", parent):
        raise GsnrError(
            f"The folder of sweep {wanted}, {folder}, was used again: it now holds {there.name} "
            f"({there.id}). What MLflow has of {wanted}: python -m gsnr_sweep aggregate {parent}"
        )
    return folder


def parent_in_store(wanted: str, here: Path, uri: str | None) -> tuple[MlflowClient, Run] | None:
    """Find a sweep's own run in the tracking store, with a client of that store.

    Args:
        wanted: The sweep's name, or its run's id or the start of it.
        here: The folder of the default store.
        uri: Tracking store; None for the default one.

    Returns:
        None if there is no such sweep, or no store.

    Raises:
        GsnrError: The store does not answer.
    """
    uri = store_uri(uri, here)
    if missing_file(uri):
        return None
    from mlflow import MlflowClient

    from gsnr_sweep.tracking.query import find_parent, readable_store_errors

    with readable_store_errors(uri):
        client = MlflowClient(uri)
    run = find_parent(client, wanted)
    return (client, run) if run else None


def _listing(sweeps: list[Manifest]) -> str:
    lines = [f"  {s.id}  {s.name}  ({len(s.runs)} runs, {s.folder})" for s in sweeps[:_LISTED]]
    if len(sweeps) > _LISTED:
        lines.append(f"  and {len(sweeps) - _LISTED} more")
    return "\n".join(lines)
