"""Addresses of tracking stores."""

from pathlib import Path

import pytest

from gsnr_sweep.config.schema import TrackingConfig
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.tracking.uri import missing_file, sqlite_file, sqlite_uri, store_uri, tracking_uri


def _tracking(uri: str | None) -> TrackingConfig:
    return TrackingConfig("mlflow", uri, "mine", None, None)


@pytest.mark.parametrize("uri", ["http://host:5000", "postgresql://u:p@host/db", "sqlite://", ""])
def test_other_stores_are_no_files(uri: str) -> None:
    assert sqlite_file(uri) is None
    assert missing_file(uri) is None


def test_the_file_of_a_sqlite_store(tmp_path: Path) -> None:
    path = tmp_path / "a b.db"
    assert sqlite_file(sqlite_uri(path)) == path
    assert sqlite_file(f"{sqlite_uri(path)}?timeout=5") == path
    assert missing_file(sqlite_uri(path)) == path
    path.touch()
    assert missing_file(f"{sqlite_uri(path)}?timeout=5") is None


def test_a_file_is_looked_for_where_runs_are_launched(tmp_path: Path) -> None:
    assert tracking_uri(_tracking("sqlite:///x.db"), tmp_path) == f"sqlite:///{tmp_path}/x.db"
    assert tracking_uri(_tracking("sqlite:///x.db?a=1"), tmp_path).endswith("/x.db?a=1")
    elsewhere = f"sqlite:///{tmp_path / 'there.db'}"
    assert tracking_uri(_tracking(elsewhere), Path("/here")) == elsewhere
    assert tracking_uri(_tracking("http://host"), tmp_path) == "http://host"


def test_the_default_store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert store_uri(None, folder) == sqlite_uri(folder / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host")
    assert store_uri(None, folder) == "http://host"
    assert store_uri("sqlite:///x.db", folder) == "sqlite:///x.db"


@pytest.mark.parametrize("uri", ["mlruns", "./mlruns", "file:///tmp/mlruns"])
def test_plain_folders_are_refused(uri: str, tmp_path: Path) -> None:
    with pytest.raises(GsnrError, match=r"tracking\.uri=.*sqlite:///FILE\.db"):
        tracking_uri(_tracking(uri), tmp_path)
