"""A SQLite store before MLflow opens it: made whole or not at all, and checked to be MLflow's."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

_SECONDS_TO_WAIT = 180.0
_MLFLOWS = "alembic_version"


def prepare_sqlite_store(path: Path) -> None:
    """Make a store that is not there, with MLflow's schema, and check one that is.

    MLflow makes its schema in some thirty steps. A process that dies between them leaves a file
    that no later one can use, and two that begin together stand in each other's way. So it is made
    under another name, by one process of this machine at a time, and gets its name when it is
    whole.

    Args:
        path: The file.

    Raises:
        OSError: The file is no database, or another program's, or it cannot be made; who opens it
            says of which store, and what to do.
    """
    if path.is_file() and path.stat().st_size:
        _check(path)
        return
    with _alone(path):
        if path.is_file() and path.stat().st_size:  # another process has made it meanwhile
            return
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            _make(temporary)
            temporary.replace(path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()


def reading(path: Path) -> closing[sqlite3.Connection]:
    """Open a store's file to be read only, in a block that closes it."""
    return closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True))


def artifact_roots(path: Path) -> list[str]:
    """Return where a store's experiments keep their artifacts; nothing of one that is locked."""
    with contextlib.suppress(sqlite3.Error), reading(path) as database:
        found = database.execute("SELECT DISTINCT artifact_location FROM experiments")
        return [location for (location,) in found if location]
    return []


def move_artifacts(path: Path, before: str, now: str) -> None:
    """Have a store's experiments keep their artifacts elsewhere, which MLflow has no function for.

    Args:
        path: The store's file.
        before: The artifacts' root so far, a URI.
        now: That from now on.
    """
    with closing(sqlite3.connect(path, timeout=_SECONDS_TO_WAIT)) as database, database:
        database.execute(
            "UPDATE experiments SET artifact_location = ? WHERE artifact_location = ?",
            (now, before),
        )
        database.execute(
            "UPDATE runs SET artifact_uri = ? || substr(artifact_uri, ?) "
            "WHERE substr(artifact_uri, 1, ?) = ?",
            (now, len(before) + 1, len(before) + 1, f"{before}/"),
        )


def _make(path: Path) -> None:
    from mlflow import MlflowClient

    MlflowClient(f"sqlite:///{path}").search_experiments(max_results=1)


def _check(path: Path) -> None:
    """Refuse what MLflow would try to open for minutes, or write its tables into.

    Raises:
        OSError: The file cannot be read, is no database, or another program's.
    """
    try:
        with reading(path) as database:
            found = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            tables = {name for (name,) in found}
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            return  # by a writer: MLflow waits for it
        raise OSError(str(error)) from None
    except sqlite3.DatabaseError as error:
        raise OSError(str(error)) from None
    if tables and _MLFLOWS not in tables:
        shown = ", ".join(sorted(tables)[:3])
        raise OSError(f"it is another program's database, with tables such as {shown}")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Wait until no other process of this machine makes the same store.

    Raises:
        OSError: Another one has been at it for minutes.
    """
    name = hashlib.sha256(os.path.realpath(path).encode()).hexdigest()[:16]
    lock = Path(tempfile.gettempdir()) / f"gsnr-sweep-{os.getuid()}-{name}.lock"
    try:
        with FileLock(lock, timeout=_SECONDS_TO_WAIT):
            yield
    except Timeout:
        raise OSError("another process has been making it for three minutes") from None
