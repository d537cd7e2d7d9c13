"""Finished runs of a store, looked up in another process."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient

from gsnr_sweep.config.schema import TrackingConfig
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.tracking import background_query as stored
from gsnr_sweep.tracking.background_query import (
    LookUp,
    StoredRun,
    finished_runs,
    looking_up,
    read_finished_runs,
    store_to_read,
)
from tests.conftest import tiny_config


@pytest.fixture
def tracking() -> TrackingConfig:
    return tiny_config("tracking.experiment=tests").tracking


@pytest.fixture
def known(store: MlflowClient) -> list[StoredRun]:
    """What the store holds: of three runs two are finished."""
    experiment = store.create_experiment("tests")
    for number, state in enumerate(["finished", "failed", "finished"]):
        tags = {"gsnr.kind": "run", "gsnr.state": state, "gsnr.config_hash": f"hash{number}"}
        run = store.create_run(experiment, tags={**tags, "gsnr.code": "0.1.0+é"})
        store.set_terminated(run.info.run_id)
    return finished_runs(store, "tests")


def test_another_process_finds_the_same(
    known: list[StoredRun], tracking: TrackingConfig, folder: Path
) -> None:
    assert [run.config_hash for run in known] == ["hash0", "hash2"]
    assert {(run.state, run.code) for run in known} == {("finished", "0.1.0+é")}
    uri = store_to_read(tracking, folder)
    assert read_finished_runs(uri, "tests") == known
    with looking_up(tracking, folder) as look_up:
        assert look_up is not None
        assert look_up.runs() == known
    with looking_up(tiny_config("tracking.experiment=other").tracking, folder) as look_up:
        assert look_up is not None
        assert look_up.runs() == []


def test_there_is_nothing_to_look_up(folder: Path, tracking: TrackingConfig) -> None:
    for cfg in (tracking, tiny_config("tracking=none").tracking):
        with looking_up(cfg, folder) as look_up:
            assert look_up is None
    with looking_up(tiny_config("tracking.uri=./mlruns").tracking, folder) as look_up:
        assert look_up is None
    with pytest.raises(GsnrError, match="no longer in plain folders"):
        store_to_read(tiny_config("tracking.uri=./mlruns").tracking, folder)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("uri", ["sqlite:///{}/mlflow.db", "nonsense://me:secret@there/{}"])
def test_what_cannot_be_read_is_said_without_the_password(tmp_path: Path, uri: str) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"no database at all")
    look_up = LookUp(uri.format(tmp_path), "tests")
    with pytest.raises(GsnrError, match="cannot be read") as told:
        look_up.runs()
    look_up.end()
    assert "secret" not in str(told.value)


def test_the_process_ends_with_whoever_wants_to_know(
    known: list[StoredRun], tracking: TrackingConfig, folder: Path
) -> None:
    with looking_up(tracking, folder) as look_up:
        assert look_up is not None
        process = psutil.Process(look_up._process.pid)
        assert not any("mlflow.db" in word for word in process.cmdline())  # may hold a password
    assert not process.is_running()


def test_a_file_of_the_working_folder_is_not_taken_for_a_module(
    known: list[StoredRun], tracking: TrackingConfig, folder: Path
) -> None:
    (folder / "json.py").write_text("raise SystemExit(3)")
    with looking_up(tracking, folder) as look_up:
        assert look_up is not None
        assert look_up.runs() == known


def test_pytorch_is_not_imported_for_it() -> None:
    script = f"import sys, {stored.__name__}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
