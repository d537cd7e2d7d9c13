"""Finished runs of a store: by MLflow, and of a SQLite file by SQL."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient

from gsnr_sweep.config.schema import TrackingConfig
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.tracking import finished_runs as module
from gsnr_sweep.tracking.finished_runs import (
    StoredRun,
    finished_runs,
    finished_runs_in_file,
    read_finished_runs,
    store_to_read,
)
from tests.conftest import tiny_config


def _run(store: MlflowClient, experiment: str, tags: dict[str, str], ended: int | None) -> str:
    run_id = str(store.create_run(experiment, start_time=1000, tags=tags).info.run_id)
    if ended:
        store.set_terminated(run_id, end_time=ended)
    return run_id


@pytest.fixture
def known(store: MlflowClient) -> list[StoredRun]:
    """What the store holds of an experiment, beside others, deleted ones and other kinds."""
    mine, other = store.create_experiment("tests"), store.create_experiment("of others")
    finished = {"gsnr.kind": "run", "gsnr.state": "finished"}
    whole = {**finished, "gsnr.config_hash": "hash0", "gsnr.code": "0.1.0+é"}
    first = _run(store, mine, whole, 5000)
    bare = _run(store, mine, finished, None)
    _run(store, mine, {**whole, "gsnr.state": "failed"}, 5000)
    _run(store, mine, {**whole, "gsnr.kind": "sweep"}, 5000)
    _run(store, mine, {}, 5000)
    _run(store, other, whole, 5000)
    store.delete_run(_run(store, mine, whole, 5000))
    expected = [
        StoredRun("hash0", first, 5.0, "finished", "0.1.0+é"),
        StoredRun("", bare, 1.0, "finished", ""),
    ]
    return sorted(expected, key=lambda run: run.run_id)  # they began at the same time


def test_sql_finds_what_mlflow_finds(
    store: MlflowClient, known: list[StoredRun], folder: Path
) -> None:
    assert sorted(finished_runs(store, "tests"), key=lambda run: run.run_id) == known
    assert finished_runs_in_file(folder / "mlflow.db", "tests") == known
    assert read_finished_runs(store.tracking_uri, "tests") == known


def test_an_experiment_that_is_not_there_has_none(store: MlflowClient, folder: Path) -> None:
    assert finished_runs(store, "none") == []
    assert finished_runs_in_file(folder / "mlflow.db", "none") == []


def test_runs_of_a_deleted_experiment_do_not_count(
    store: MlflowClient, known: list[StoredRun], folder: Path
) -> None:
    found = store.get_experiment_by_name("tests")
    assert known
    assert found is not None
    store.delete_experiment(found.experiment_id)
    assert finished_runs(store, "tests") == []
    assert finished_runs_in_file(folder / "mlflow.db", "tests") == []


def test_mlflow_reads_a_store_of_another_schema(
    known: list[StoredRun], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_IN_SQLITE", "SELECT nothing FROM tables_to_come")
    with pytest.raises(sqlite3.Error):
        finished_runs_in_file(folder / "mlflow.db", "tests")
    found = read_finished_runs(f"sqlite:///{folder / 'mlflow.db'}", "tests")
    assert sorted(found, key=lambda run: run.run_id) == known


def test_the_file_is_only_read(known: list[StoredRun], folder: Path) -> None:
    path = folder / "mlflow.db"
    before = path.read_bytes()
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN")
        other.execute("SELECT 1 FROM runs").fetchone()  # somebody reads it, too
        assert finished_runs_in_file(path, "tests") == known
    assert path.read_bytes() == before
    with pytest.raises(sqlite3.Error):
        finished_runs_in_file(folder / "gone.db", "tests")
    assert not (folder / "gone.db").exists()


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"no database at all")
    with pytest.raises(GsnrError, match="cannot be used"):
        read_finished_runs(f"sqlite:///{tmp_path}/mlflow.db", "tests")


@pytest.fixture
def tracking() -> TrackingConfig:
    return tiny_config("tracking.experiment=tests").tracking


def test_which_store_is_read(store: MlflowClient, folder: Path, tracking: TrackingConfig) -> None:
    assert store_to_read(tracking, folder) == f"sqlite:///{folder / 'mlflow.db'}"
    (folder / "mlflow.db").unlink()
    assert store_to_read(tracking, folder) == ""
    assert store_to_read(tiny_config("tracking=none").tracking, folder) == ""
    with pytest.raises(GsnrError, match="no longer in plain folders"):
        store_to_read(tiny_config("tracking.uri=./mlruns").tracking, folder)
    assert list(folder.iterdir()) == []


def test_a_sqlite_file_is_read_without_mlflow(known: list[StoredRun], folder: Path) -> None:
    script = (
        f"import sys\nfrom {module.__name__} import read_finished_runs\n"
        "print(len(read_finished_runs(sys.argv[1], 'tests')))\n"
        "print(sorted({'mlflow', 'sqlalchemy', 'torch', 'pandas'} & sys.modules.keys()))"
    )
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    command = [sys.executable, "-c", script, uri]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["2", "[]"]
