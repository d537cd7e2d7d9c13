"""Which runs a store has, by their ids alone.

MLflow reads all metrics, parameters and tags of the runs that it finds, which takes milliseconds a
run. Of a SQLite file the ids are read by SQL, of thousands of runs in no time.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gsnr_sweep.tracking.query import PARENT_TAG, runs_by_id, search_runs
from gsnr_sweep.tracking.sqlite_store import reading
from gsnr_sweep.tracking.uri import sqlite_file

if TYPE_CHECKING:
    from mlflow import MlflowClient

_PRESENT = """
    SELECT run_uuid FROM runs
    WHERE experiment_id = ? AND lifecycle_stage = 'active' AND run_uuid IN ({})
"""
_OF_PARENT = """
    SELECT runs.run_uuid FROM runs JOIN tags ON tags.run_uuid = runs.run_uuid
    WHERE runs.experiment_id = ? AND runs.lifecycle_stage = 'active'
        AND tags.key = ? AND tags.value = ?
"""
_AT_ONCE = 500


def present(client: MlflowClient, experiment_id: str, ids: Sequence[str]) -> set[str]:
    """Return those ids of an experiment's runs that are there and not deleted."""
    with contextlib.suppress(sqlite3.Error):
        if path := sqlite_file(client.tracking_uri):
            parts = [ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE)]
            asked = [(_PRESENT.format(", ".join("?" * len(p))), (experiment_id, *p)) for p in parts]
            return _read(path, asked)
    return {run.info.run_id for run in runs_by_id(client, experiment_id, ids)}


def of_parent(client: MlflowClient, experiment_id: str, parent_id: str) -> set[str]:
    """Return the ids of a parent's runs that are not deleted."""
    with contextlib.suppress(sqlite3.Error):
        if path := sqlite_file(client.tracking_uri):
            return _read(path, [(_OF_PARENT, (experiment_id, PARENT_TAG, parent_id))])
    found = search_runs(client, [experiment_id], f"tags.`{PARENT_TAG}` = '{parent_id}'")
    return {run.info.run_id for run in found}


def _read(path: Path, questions: Sequence[tuple[str, Sequence[str]]]) -> set[str]:
    with reading(path) as database:
        return {run_id for asked in questions for (run_id,) in database.execute(*asked)}
