"""Finished runs of a store, looked up in another process."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient

from gsnr_sweep.config.schema import TrackingConfig
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.tracking import background_query
from gsnr_sweep.tracking.background_query import LookUp, looking_up
from gsnr_sweep.tracking.finished_runs import StoredRun, finished_runs
from tests.conftest import tiny_config

ON_A_SERVER = "tracking.uri=http://me:secret@127.0.0.1:9"


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


@pytest.mark.parametrize(("experiment", "count"), [("tests", 2), ("other", 0)])
def test_another_process_finds_the_same(
    store: MlflowClient, known: list[StoredRun], experiment: str, count: int
) -> None:
    look_up = LookUp(store.tracking_uri, experiment)
    assert look_up.runs() == known[:count]
    look_up.end()


def test_there_is_nothing_to_look_up(
    folder: Path, tracking: TrackingConfig, store: MlflowClient
) -> None:
    """A file is read in no time: no process is worth it."""
    for override in ("tracking=none", "tracking.uri=./mlruns", "tracking.experiment=tests"):
        with looking_up(tiny_config(override).tracking, folder) as look_up:
            assert look_up is None
    (folder / "mlflow.db").unlink()
    with looking_up(tracking, folder) as look_up:
        assert look_up is None
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("uri", ["sqlite:///{}/mlflow.db", "nonsense://me:secret@there/{}"])
def test_what_cannot_be_read_is_said_without_the_password(tmp_path: Path, uri: str) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"no database at all")
    look_up = LookUp(uri.format(tmp_path), "tests")
    with pytest.raises(GsnrError, match="cannot be read") as told:
        look_up.runs()
    look_up.end()
    assert "secret" not in str(told.value)


def test_the_process_ends_with_whoever_wants_to_know(folder: Path) -> None:
    with looking_up(tiny_config(ON_A_SERVER).tracking, folder) as look_up:
        assert look_up is not None
        process = psutil.Process(look_up._process.pid)
        assert not any("secret" in word for word in process.cmdline())
    assert not process.is_running()


def test_a_file_of_the_working_folder_is_not_taken_for_a_module(
    known: list[StoredRun], store: MlflowClient, folder: Path
) -> None:
    (folder / "json.py").write_text("raise SystemExit(3)")
    look_up = LookUp(store.tracking_uri, "tests")
    assert look_up.runs() == known
    look_up.end()


def test_pytorch_is_not_imported_for_it() -> None:
    script = f"import sys, {background_query.__name__}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
