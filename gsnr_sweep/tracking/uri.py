"""Tracking stores' addresses: the default one, and as people may see them."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from gsnr_sweep.config.program import command_program
from gsnr_sweep.config.schema import TrackingConfig
from gsnr_sweep.errors import GsnrError

_SQLITE = "sqlite:///"
_FILE = re.compile(r"(?P<scheme>sqlite(?:\+\w+)?:///)(?P<path>[^?]*)(?P<options>\?.*)?", re.DOTALL)

BLOT = "***"
_SCHEME = r"(?<![\w+.-])(?!(?:sqlite|file)[\w+]*:///)[a-zA-Z][\w+.-]*://"  # none of a plain file
_WHOLE = re.compile(rf"^((?:[\w.+~@/]+=)?[\"']?{_SCHEME}).*@", re.DOTALL)
_WITHIN = re.compile(rf"({_SCHEME})\S*@")
_OPTION = re.compile(
    r"([?&](?:\w*pass(?:word|wd)?|pwd|\w*token|\w*secret|\w*key)=)[^&\s\"']*", re.I
)

STORE_VARIABLE = "MLFLOW_TRACKING_URI"
"""Environment variable of the store that this process and those it starts are told, whole."""


def sqlite_uri(path: Path) -> str:
    """Return the URI of a SQLite file.

    Raises:
        GsnrError: No URI can name the file.
    """
    if not any(sign in str(path) for sign in "?%"):
        return f"{_SQLITE}{path}"
    from sqlalchemy.engine import URL

    uri = URL.create("sqlite", database=str(path)).render_as_string()
    if _database(uri) != str(path):  # before SQLAlchemy 2.1
        raise GsnrError(
            f"{path} cannot hold a tracking store: no URI can name a file with ? or % in its path. "
            "Launch in another folder, name another store with tracking.uri=URI, or run with "
            "tracking=none."
        )
    return uri


def sqlite_file(uri: str) -> Path | None:
    """Return the file of a SQLite store, whose options may follow it; None for any other store."""
    found = _FILE.fullmatch(uri)
    if found is None:
        return None
    path = _database(uri) if "%" in found["path"] else found["path"]
    if path.startswith("file:"):
        return Path(unquote(path.removeprefix("file:").partition("?")[0]))
    return Path(path)


def _database(uri: str) -> str:
    """Return the file that a SQLite URI names, as the database library reads it."""
    from sqlalchemy.engine import make_url

    return make_url(uri).database or ""


def missing_file(uri: str) -> Path | None:
    """Return the file of a SQLite store that is not there: MLflow would make an empty one."""
    path = sqlite_file(uri)
    return path if path is not None and not path.is_file() else None


def store_uri(uri: str | None, folder: Path) -> str:
    """Return the store given, else that in MLFLOW_TRACKING_URI, else a file in `folder`."""
    if chosen := uri or _told():
        return recorded_uri(chosen, folder) if BLOT in chosen else chosen
    return sqlite_uri(folder / "mlflow.db")


def tell_store(uri: str) -> None:
    """Tell this process, and those that it starts, the store that its user names.

    With its password, which no file holds and no command line of a worker.
    """
    os.environ[STORE_VARIABLE] = uri


def _told() -> str:
    """Return the store that this process was told, empty for none."""
    return os.environ.get(STORE_VARIABLE, "")


def without_password(text: str) -> str:
    """Make a URI, or a text that holds some, fit to be seen: user and password are blotted out.

    A password may hold ``/`` and ``@``: all from ``//`` to the last ``@`` is taken for one. So are
    options such as ``?password=``. Every URI passes here before it leaves memory.
    """
    if known := _told():  # it may hold blanks, which end an address within a text
        text = text.replace(known, _blotted(known))
    return _blotted(text)


def _blotted(text: str) -> str:
    text = _WITHIN.sub(rf"\1{BLOT}@", _WHOLE.sub(rf"\1{BLOT}@", text))
    return _OPTION.sub(rf"\1{BLOT}", text) if "://" in text else text


def without_passwords(value: Any) -> Any:
    """Return containers of texts, such as a config, with every URI fit to be seen."""
    if isinstance(value, str):
        return without_password(value)
    if isinstance(value, Mapping):
        return {key: without_passwords(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(without_passwords(each) for each in value)
    return value


def uri_for_files(uri: str, folder: Path) -> str:
    """Return a store's URI as files hold it: without a password, and fit to be moved.

    Args:
        uri: The store, absolute.
        folder: Of the launch. A SQLite file below it is named relative to it, so that a project
            that is moved finds its own store again and not the place where that once was.
    """
    found = _FILE.fullmatch(uri)
    path = sqlite_file(uri)
    if found and path and not found["path"].startswith("file:") and path.is_relative_to(folder):
        name = sqlite_uri(path.relative_to(folder)).removeprefix(_SQLITE)
        uri = f"{found['scheme']}{name}{found['options'] or ''}"
    return without_password(uri)


def recorded_uri(uri: str, folder: Path) -> str:
    """Return the URI of a store that a file names, with the password that no file holds.

    Files may be anybody's: user and password go to the store that this process's user names, by
    ``tracking.uri``, ``--tracking-uri`` or MLFLOW_TRACKING_URI, and to no other.

    Args:
        uri: As a record or a manifest has it.
        folder: Of the launch.

    Raises:
        GsnrError: The store needs a user and a password, or this process has some for MLflow, and
            nobody told it that they are for this store; or it was a file that is gone.
    """
    told = _told()
    if told and uri in (
        told,
        without_password(told),
        uri_for_files(_absolute(told, folder), folder),
    ):
        return _absolute(told, folder)
    if BLOT in uri:
        raise GsnrError(
            f"The tracking store {uri} needs a user and a password, which are in no file. Put its "
            "whole address into the environment variable MLFLOW_TRACKING_URI and start the same "
            "command again."
        )
    if _has_credentials() and _server(uri) and _server(uri) != _server(told):
        raise GsnrError(
            f"The tracking store {without_password(uri)} is named by a file only, and the user and "
            "password that MLflow would send are not sent to an address that anybody may have "
            "written there. If it is yours, put it into the environment variable "
            "MLFLOW_TRACKING_URI and start the same command again."
        )
    return _still_there(_absolute(uri, folder), folder)


def _still_there(uri: str, folder: Path) -> str:
    """Return a store that a file names, where it is now: MLflow would make an empty one.

    Raises:
        GsnrError: It was a SQLite file that is gone.
    """
    path = missing_file(uri)
    if path is None:
        return uri
    moved = folder / path.name  # with its project, which an older version did not note
    if not path.parent.is_dir() and moved.is_file():
        return sqlite_uri(moved)
    raise GsnrError(
        f"The tracking store {without_password(uri)} is not there any more. Put the file back, or "
        "launch the same command again: it makes a new store, computes nothing twice and sends "
        "there what is on disk."
    )


_CREDENTIALS = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")


def _has_credentials() -> bool:
    """Whether MLflow would send a user, a password or a token with every request."""
    home = Path("~/.mlflow").expanduser() / "credentials"
    return any(os.environ.get(name) for name in _CREDENTIALS) or home.is_file()


def _server(uri: str) -> str:
    """Return scheme, host and port of a server's address; empty for any other store."""
    found = re.match(r"(https?)://(?:.*@)?([^/?#]*)", uri, re.I)
    return f"{found[1]}://{found[2]}".lower() if found else ""


def server_address(uri: str) -> str:
    """Return a server's address for a browser, without user and password; empty for other stores.

    Example:
        >>> server_address("https://ann:secret@mlflow.example.org/team/")
        'https://mlflow.example.org/team'
    """
    found = re.match(r"(https?://)(?:.*@)?(.+)", uri, re.I)
    return f"{found[1]}{found[2]}".rstrip("/") if found else ""


_DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


def apply_mlflow_settings() -> None:
    """Put the settings into the environment of this process and of those it starts.

    With MLflow's own, a server that is gone is waited for 248 s at every call. What goes wrong in a
    database is raised and said; MLflow prints a traceback besides.
    """
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)


def tracking_uri(cfg: TrackingConfig, folder: Path) -> str:
    """Return the tracking store's URI, absolute where it is a file.

    Args:
        cfg: ``uri`` comes first, then MLFLOW_TRACKING_URI.
        folder: Holds the default store ``mlflow.db``, where ``gsnr-sweep ui`` finds it.

    Raises:
        GsnrError: MLflow no longer supports this kind of store.
    """
    return _absolute(store_uri(cfg.uri, folder), folder)


def recorded_store(cfg: TrackingConfig, folder: Path) -> str:
    """Return the URI of the store that a run's record names; else as `tracking_uri`.

    Raises:
        GsnrError: As `recorded_uri` and `tracking_uri`.
    """
    return recorded_uri(cfg.uri, folder) if cfg.uri else tracking_uri(cfg, folder)


def _absolute(uri: str, folder: Path) -> str:
    found = _FILE.fullmatch(uri)
    if found and not found["path"].startswith("file:"):
        path = sqlite_uri(folder / (sqlite_file(uri) or "")).removeprefix(_SQLITE)
        return f"{found['scheme']}{path}{found['options'] or ''}"
    if "://" not in uri or uri.startswith("file:"):
        raise GsnrError(
            f"tracking.uri={without_password(uri)}: MLflow keeps runs in a database or on a "
            "server, no longer in plain folders. Use sqlite:///FILE.db, http://HOST:PORT, or "
            "tracking=none."
        )
    return uri


def describe_tracking(tracking: TrackingConfig, launch_folder: Path) -> str:
    """Say where results are tracked and how to browse them."""
    if tracking.name != "mlflow":
        return "none: records on disk only"
    uri = tracking_uri(tracking, launch_folder)
    hint = "" if server_address(uri) else f"  (browse: {command_program()} ui)"
    return f"{without_password(uri)}, experiment {tracking.experiment}{hint}"
