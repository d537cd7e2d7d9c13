"""The finished runs of an experiment, as a tracking store knows them."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gsnr_sweep._startup import loading_quickly
from gsnr_sweep.config.schema import TrackingConfig
from gsnr_sweep.tracking.query import readable_store_errors, search_runs
from gsnr_sweep.tracking.sqlite_store import reading
from gsnr_sweep.tracking.store import HASH_TAG, KIND_TAG, STATE_TAG
from gsnr_sweep.tracking.uri import missing_file, sqlite_file, tracking_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import RunInfo

CODE_TAG = "gsnr.code"
_IN_SQLITE = """
    SELECT hash.value, runs.run_uuid, runs.end_time, runs.start_time, state.value, code.value
    FROM experiments
    JOIN runs ON runs.experiment_id = experiments.experiment_id
    JOIN tags AS kind ON kind.run_uuid = runs.run_uuid AND kind.key = :kind
    JOIN tags AS state ON state.run_uuid = runs.run_uuid AND state.key = :state
    LEFT JOIN tags AS hash ON hash.run_uuid = runs.run_uuid AND hash.key = :hash
    LEFT JOIN tags AS code ON code.run_uuid = runs.run_uuid AND code.key = :code
    WHERE experiments.name = :experiment AND runs.lifecycle_stage = 'active'
        AND kind.value = 'run' AND state.value = 'finished'
    ORDER BY runs.start_time, runs.run_uuid
"""
_TAGS = {"kind": KIND_TAG, "state": STATE_TAG, "hash": HASH_TAG, "code": CODE_TAG}


@dataclass(frozen=True)
class StoredRun:
    """A finished run as the store knows it.

    Attributes:
        config_hash: Its identity.
        run_id: Its MLflow run.
        when: When it ended, seconds since 1970.
        state: As in `gsnr_sweep.records.status.Status`.
        code: Version of the code that computed it.
    """

    config_hash: str
    run_id: str
    when: float
    state: str
    code: str


def store_to_read(tracking: TrackingConfig, launch_folder: Path) -> str:
    """Return the URI of the store that may hold earlier runs, empty if there is none.

    Raises:
        GsnrError: MLflow no longer supports this kind of store.
    """
    if tracking.name != "mlflow":
        return ""
    uri = tracking_uri(tracking, launch_folder)
    return "" if missing_file(uri) else uri


def finished_runs(client: MlflowClient, experiment: str) -> list[StoredRun]:
    """Return the finished runs of an experiment, none if it does not exist."""
    found = client.get_experiment_by_name(experiment)
    if found is None:
        return []
    condition = f"tags.`{KIND_TAG}` = 'run' and tags.`{STATE_TAG}` = 'finished'"
    runs = search_runs(client, [found.experiment_id], condition)
    return [_of_client(run.info, run.data.tags) for run in runs]


def _of_client(info: RunInfo, tags: Mapping[str, str]) -> StoredRun:
    times = info.end_time, info.start_time
    return _stored(tags.get(HASH_TAG), info.run_id, *times, tags.get(STATE_TAG), tags.get(CODE_TAG))


def finished_runs_in_file(path: Path, experiment: str) -> list[StoredRun]:
    """Return the same of a SQLite store, in hundredths of a second.

    MLflow takes one and a half to be imported and to open a store, which a launch that only wants
    to know what is finished need not wait for, and reads all metrics of the runs it returns.

    Raises:
        sqlite3.Error: The file is locked, no database, or of another schema.
    """
    with reading(path) as database:
        rows = database.execute(_IN_SQLITE, {"experiment": experiment, **_TAGS})
        return [_stored(*row) for row in rows]


def _stored(
    config_hash: str | None,
    run_id: str,
    ended: int | None,
    started: int | None,
    state: str | None,
    code: str | None,
) -> StoredRun:
    when = (ended or started or 0) / 1000
    return StoredRun(config_hash or "", run_id, when, state or "", code or "")


def read_finished_runs(uri: str, experiment: str) -> list[StoredRun]:
    """Return the finished runs of an experiment in the store at `uri`, which this process opens.

    A SQLite file is read by SQL, and by MLflow if that fails.

    Raises:
        GsnrError: The store cannot be read.
    """
    if path := sqlite_file(uri):
        with contextlib.suppress(sqlite3.Error):
            return finished_runs_in_file(path, experiment)
    with loading_quickly():
        from mlflow import MlflowClient

        with readable_store_errors(uri):
            return finished_runs(MlflowClient(uri), experiment)
