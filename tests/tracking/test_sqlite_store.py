"""A SQLite store is made whole or not at all, by one process, and nobody else's is touched."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.tracking import sqlite_store
from gsnr_sweep.tracking.sqlite_store import prepare_sqlite_store
from gsnr_sweep.tracking.store import open_store


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The stores that are made; each takes a moment, and is a file with a table of MLflow's."""
    made: list[Path] = []

    def make(path: Path) -> None:
        made.append(path)
        with closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE alembic_version (version_num TEXT)")

    monkeypatch.setattr(sqlite_store, "_make", make)
    return made


def test_a_store_that_is_not_there_is_made_as_mlflow_makes_it(folder: Path) -> None:
    path = folder / "mlflow.db"
    prepare_sqlite_store(path)
    assert [each.name for each in folder.iterdir()] == ["mlflow.db"]
    assert [e.name for e in MlflowClient(f"sqlite:///{path}").search_experiments()] == ["Default"]


def test_several_at_once_make_it_once(tmp_path: Path, quick: list[Path]) -> None:
    threads = [
        threading.Thread(target=prepare_sqlite_store, args=(tmp_path / "s.db",)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(quick) == 1
    assert [each.name for each in tmp_path.iterdir()] == ["s.db"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("No space left on device")])
def test_what_is_not_finished_leaves_nothing(
    tmp_path: Path, quick: list[Path], monkeypatch: pytest.MonkeyPatch, error: Any
) -> None:
    """A half-made schema could be used by nobody ever after."""
    make = sqlite_store._make

    def half(path: Path) -> None:
        path.write_bytes(b"SQLite format 3")
        raise error

    monkeypatch.setattr(sqlite_store, "_make", half)
    with pytest.raises(BaseException, match=r"^(No space left on device)?$"):
        prepare_sqlite_store(tmp_path / "s.db")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(sqlite_store, "_make", make)
    prepare_sqlite_store(tmp_path / "s.db")
    assert [each.name for each in tmp_path.iterdir()] == ["s.db"]


def test_an_empty_file_is_replaced(tmp_path: Path, quick: list[Path]) -> None:
    (tmp_path / "s.db").touch()
    prepare_sqlite_store(tmp_path / "s.db")
    assert len(quick) == 1


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            b"not a database at all, but long enough to be taken for something" * 20,
            "not a database",
        ),
        (None, "another program's database, with tables such as customers"),
    ],
)
def test_what_is_not_mlflows_is_left_alone(
    tmp_path: Path, content: bytes | None, told: str
) -> None:
    path = tmp_path / "other.db"
    if content is None:
        with closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE customers (name TEXT)")
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    with pytest.raises(GsnrError, match=f"cannot be opened.*{told}.*tracking=none"):
        open_store(f"sqlite:///{path}", "tests")
    assert path.read_bytes() == before


def test_a_store_that_somebody_writes_to_is_mlflows_to_wait_for(
    migrated_store: Path, tmp_path: Path
) -> None:
    path = tmp_path / "busy.db"
    path.write_bytes(migrated_store.read_bytes())
    with closing(sqlite3.connect(path)) as database:
        database.execute("BEGIN EXCLUSIVE")
        prepare_sqlite_store(path)
