"""Which store is meant, and that it opens for many processes at once."""

import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from gsnr_sweep.config.schema import TrackingConfig
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.tracking.store import open_store
from gsnr_sweep.tracking.uri import tracking_uri


def _cfg(uri: str | None = None) -> TrackingConfig:
    return TrackingConfig("mlflow", uri, "tests", None, None)


def test_the_default_store_lies_in_the_launch_folder(folder: Path) -> None:
    assert tracking_uri(_cfg(), Path("/some/where")) == "sqlite:////some/where/mlflow.db"


def test_config_comes_before_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://there:5000")
    assert tracking_uri(_cfg(), Path("/x")) == "http://there:5000"
    assert tracking_uri(_cfg(uri="sqlite:///mine.db"), Path("/x")) == "sqlite:////x/mine.db"


@pytest.mark.parametrize(
    ("uri", "absolute"),
    [
        ("sqlite:///mine.db", "sqlite:////x/mine.db"),
        ("sqlite:///sub/mine.db", "sqlite:////x/sub/mine.db"),
        ("sqlite:////abs/mine.db", "sqlite:////abs/mine.db"),
        ("postgresql://user@host/db", "postgresql://user@host/db"),
    ],
)
def test_sqlite_files_are_absolute(uri: str, absolute: str) -> None:
    assert tracking_uri(_cfg(uri=uri), Path("/x")) == absolute


@pytest.mark.parametrize("uri", ["./mlruns", "mlruns", "/abs/mlruns", "file:///abs/mlruns"])
def test_folders_are_no_stores_any_more(uri: str) -> None:
    with pytest.raises(GsnrError, match=r"no longer in plain folders.*sqlite:///FILE\.db"):
        tracking_uri(_cfg(uri=uri), Path("/x"))


def test_a_store_that_cannot_be_opened(folder: Path) -> None:
    (folder / "file").write_text("")
    with pytest.raises(GsnrError, match=r"cannot be opened.*tracking=none"):
        open_store(f"sqlite:///{folder}/file/mlflow.db", "tests")


def test_a_server_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(GsnrError, match=r"http://127.0.0.1:9 cannot be used \(no server answers"):
        open_store("http://127.0.0.1:9", "tests")
    assert capfd.readouterr().err == ""


def test_an_experiment_is_made_once_with_its_artifacts_beside_the_store(
    store: MlflowClient, folder: Path
) -> None:
    uri = store.tracking_uri
    first, again = open_store(uri, "tests")[1], open_store(uri, "tests")[1]
    assert first == again
    assert store.get_experiment(first).artifact_location == (folder / "mlartifacts").as_uri()


def test_another_process_makes_the_experiment_in_the_same_moment(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = open_store(store.tracking_uri, "tests")[1]
    look, looks = MlflowClient.get_experiment_by_name, []

    def too_early(*arguments: Any) -> Any:
        looks.append(1)
        return look(*arguments) if len(looks) > 1 else None

    monkeypatch.setattr(MlflowClient, "get_experiment_by_name", too_early)
    assert open_store(store.tracking_uri, "tests")[1] == made


def test_a_deleted_experiment_is_named_with_what_restores_it(store: MlflowClient) -> None:
    made = open_store(store.tracking_uri, "tests")[1]
    store.delete_experiment(made)
    told = rf"tracking.experiment=tests: .* deleted in MLflow.*restore --experiment-id {made}\)"
    with pytest.raises(GsnrError, match=told):
        open_store(store.tracking_uri, "tests")


def test_the_artifacts_of_a_store_that_was_moved_lie_beside_it(
    store: MlflowClient, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    experiment = open_store(store.tracking_uri, "tests")[1]
    run_id = store.create_run(experiment).info.run_id
    meant = store.create_experiment("elsewhere", (folder / "my own").as_uri())
    new = folder / "a new place"
    new.mkdir()
    shutil.move(folder / "mlflow.db", new)
    client, again = open_store(f"sqlite:///{new}/mlflow.db", "tests")
    assert again == experiment
    assert client.get_experiment(experiment).artifact_location == (new / "mlartifacts").as_uri()
    uri = client.get_run(run_id).info.artifact_uri
    assert uri == f"{(new / 'mlartifacts').as_uri()}/{run_id}/artifacts"
    assert client.get_experiment(meant).artifact_location == (folder / "my own").as_uri()
    open_store(f"sqlite:///{new}/mlflow.db", "tests")
    assert [record.getMessage() for record in caplog.records if "was moved" in record.msg] == [
        f"MLflow: {new}/mlflow.db was moved: its artifacts are in {new}/mlartifacts, no more in "
        f"{folder}/mlartifacts"
    ]


def test_artifacts_that_are_kept_elsewhere_on_purpose_stay_there(
    store: MlflowClient, folder: Path
) -> None:
    big = folder / "big disk" / "mlartifacts"
    big.mkdir(parents=True)
    experiment = store.create_experiment("tests", big.as_uri())
    assert open_store(store.tracking_uri, "tests")[1] == experiment
    assert store.get_experiment(experiment).artifact_location == big.as_uri()


def test_a_store_that_is_locked_is_said_to_be(
    store: MlflowClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*_: Any) -> None:
        raise MlflowException("(sqlite3.OperationalError) database is locked\n[SQL: SELECT …]")

    monkeypatch.setattr(MlflowClient, "get_experiment_by_name", locked)
    with pytest.raises(GsnrError, match=r"\(another process keeps it locked\)"):
        open_store(store.tracking_uri, "tests")
    assert logging.getLogger("mlflow.store.db.utils").level == logging.CRITICAL  # no traceback
