"""Reading a sweep back from its folder, without asking MLflow for what is on disk."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from gsnr_sweep.analysis.preset import Preset
from gsnr_sweep.analysis.table import LeftOut, SweepTable, read_record, table_of, what_became_of
from gsnr_sweep.records.manifest import Manifest, SweepRun
from gsnr_sweep.records.record import RECORD_FILE, RunRecord
from gsnr_sweep.records.sent import read_sent
from gsnr_sweep.records.state import Action, State
from gsnr_sweep.tracking.query import first_line, readable_store_errors

if TYPE_CHECKING:
    from mlflow import MlflowClient


def read_folder(manifest: Manifest, client: MlflowClient | None = None) -> SweepTable:
    """Read all finished runs of a sweep, those of earlier launches that it reuses included.

    Args:
        manifest: The sweep.
        client: For reused runs whose folder is not on this machine; None if there is no store.
    """
    kept: list[tuple[str, RunRecord]] = []
    left_out: list[LeftOut] = []
    for run in manifest.runs:
        if run.action == Action.REPEAT:
            continue
        record = _record(manifest, run, client)
        if isinstance(record, RunRecord) and record.state == State.FINISHED and record.measurements:
            kept.append((_run_id(manifest, run) or run.config_hash, record))
        else:
            why = record if isinstance(record, str) else what_became_of(record)
            left_out.append(LeftOut(_run_id(manifest, run), run.name, why))
    parent = manifest.parent_run_id or None
    preset = Preset.of(manifest.preset)
    return table_of(manifest.name, parent, kept, left_out, preset, manifest.launch_folder)


def _run_id(manifest: Manifest, run: SweepRun) -> str:
    sent = read_sent(manifest.folder_of(run)).run_id if run.folder else ""
    return sent or run.run_id


def _record(manifest: Manifest, run: SweepRun, client: MlflowClient | None) -> RunRecord | str:
    folder = manifest.folder_of(run)
    if run.folder and (folder / RECORD_FILE).is_file():
        return read_record(folder, "on disk")
    if not run.run_id or client is None:
        return "not started yet" if run.action == Action.RUN else "its record is not to be found"
    with TemporaryDirectory() as temporary:
        try:
            with readable_store_errors(client.tracking_uri):
                client.download_artifacts(run.run_id, RECORD_FILE, temporary)
        except Exception as error:
            return f"its record could not be fetched: {first_line(error)}"
        return read_record(Path(temporary), "fetched")
