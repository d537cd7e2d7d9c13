"""`load`: results read back, from their folder or from MLflow."""

from __future__ import annotations

import os
import re
from pathlib import Path

from gsnr_sweep.analysis.analysis import Analysis
from gsnr_sweep.analysis.read_folder import read_folder
from gsnr_sweep.analysis.table import SweepTable, read_record, read_records, read_sweep
from gsnr_sweep.cli.commands.lookup import find_sweep, parent_in_store
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.from_python.environment import environment_kept
from gsnr_sweep.from_python.results import Sweep
from gsnr_sweep.records.manifest import SWEEP_FILE, Manifest
from gsnr_sweep.records.record import RECORD_FILE, RunRecord
from gsnr_sweep.report.pipeline import client_of
from gsnr_sweep.tracking.uri import missing_file, store_uri

_RUN_ID = re.compile(r"[0-9a-f]{32}")


def load(source: str | os.PathLike[str], tracking_uri: str | None = None) -> RunRecord | Sweep:
    """Read a run or a sweep back.

    Args:
        source: A run's folder or its ``record.json``; a sweep's folder or its ``sweep.json``; the
            id of an MLflow run, of a run or of a sweep; or a sweep's id or name, as
            ``gsnr-sweep status`` takes it.
        tracking_uri: The MLflow store in which ids are looked up; None for MLFLOW_TRACKING_URI,
            else ``mlflow.db`` in the working folder.

    Returns:
        The `RunRecord` of a run, also of one that did not finish (its ``state`` says so); the
        `Sweep` of a sweep.

    Raises:
        GsnrError: There is nothing of that name, or it cannot be read.

    Examples:
        >>> gsnr_sweep.load("multirun/2026-11-21/01-31-47.104690").table  # doctest: +SKIP
    """
    path, wanted = Path(source), os.fspath(source)
    if not wanted.strip():
        raise GsnrError("load(''): give a folder, the id of an MLflow run, or a sweep's id.")
    if path.name in (RECORD_FILE, SWEEP_FILE) and path.is_file():
        path = path.parent
    if path.exists():
        return _read_folder(path)
    if path.is_absolute() or os.sep in wanted:
        raise GsnrError(f"There is no folder {path}. Give that of a run or of a sweep.")
    with environment_kept():
        if _RUN_ID.fullmatch(wanted) and (found := _from_store(wanted, tracking_uri)) is not None:
            return found
        return _sweep_of(wanted, tracking_uri)


def read_run(folder: Path) -> RunRecord:
    """Read the record in a run's folder.

    Raises:
        GsnrError: There is none, or it cannot be read.
    """
    record = read_record(folder, f"{folder}")
    if isinstance(record, str):
        raise GsnrError(f"{record}. Give the folder of a run, in which its {RECORD_FILE} lies.")
    return record


def read_sweep_folder(folder: Path, tracking_uri: str | None = None) -> Sweep:
    """Read the sweep in a folder; what it reuses from elsewhere is asked of MLflow.

    Raises:
        GsnrError: The folder holds no sweep.
    """
    manifest = Manifest.read(folder)
    with environment_kept():
        return Sweep(manifest.folder, Analysis(_table(manifest)), tracking_uri)


def _read_folder(path: Path) -> RunRecord | Sweep:
    if (path / SWEEP_FILE).is_file():
        return read_sweep_folder(path)
    if (path / RECORD_FILE).is_file():
        return read_run(path)
    raise GsnrError(
        f"{path} holds neither a run ({RECORD_FILE}) nor a sweep ({SWEEP_FILE}). Sweeps lie in "
        "multirun/DATE/TIME, their runs in numbered folders below, runs alone in outputs/DATE/TIME."
    )


def _table(manifest: Manifest) -> SweepTable:
    """Lay a sweep out; a store that does not answer takes nothing from what is on disk."""
    table = read_folder(manifest)
    lost = any("not to be found" in one.reason for one in table.left_out)
    if not lost or not manifest.uri:
        return table
    try:
        return read_folder(manifest, client_of(manifest))
    except GsnrError:
        return table


def _from_store(run_id: str, tracking_uri: str | None) -> RunRecord | Sweep | None:
    """Read what a run id of MLflow stands for; None if the store does not know it."""
    uri = store_uri(tracking_uri, Path.cwd())
    if missing_file(uri):
        return None
    from mlflow.exceptions import MlflowException

    from gsnr_sweep.tracking.query import readable_store_errors
    from gsnr_sweep.tracking.store import KIND_TAG, connect

    with readable_store_errors(uri):
        client = connect(uri)
        try:
            run = client.get_run(run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None
        kind = run.data.tags.get(KIND_TAG)
        if kind == "run":
            (record,) = read_records(client, [run])
            if isinstance(record, str):
                raise GsnrError(f"MLflow run {run_id}: {record}.")
            return record
    if kind != "sweep":
        raise GsnrError(
            f"MLflow run {run_id} is neither a run nor a sweep of gsnr-sweep (no tag {KIND_TAG})."
        )
    folder = Path(run.data.tags.get("gsnr.folder", ""))
    if (folder / SWEEP_FILE).is_file() and Manifest.read(folder).parent_run_id == run_id:
        return read_sweep_folder(folder, tracking_uri)
    return Sweep(None, Analysis(read_sweep(client, run_id)), tracking_uri)


def _sweep_of(wanted: str, tracking_uri: str | None) -> Sweep:
    """Find a sweep by its id or name, on disk or else in MLflow alone."""
    try:
        manifest = find_sweep(wanted, Path.cwd(), tracking_uri)
    except GsnrError as error:
        if (found := parent_in_store(wanted, Path.cwd(), tracking_uri)) is None:
            raise error from None
        client, parent = found
        table = read_sweep(client, parent.info.run_id)
        return Sweep(None, Analysis(table), tracking_uri)
    return Sweep(manifest.folder, Analysis(_table(manifest)), tracking_uri)
