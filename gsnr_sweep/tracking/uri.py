"""Tracking stores' addresses: the default one, and as people may see them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from gsnr_sweep.config.schema import TrackingConfig
from gsnr_sweep.errors import GsnrError

_SQLITE = "sqlite:///"


def sqlite_uri(path: Path) -> str:
    """Return the URI of a SQLite file."""
    return f"{_SQLITE}{path}"


def sqlite_file(uri: str) -> Path | None:
    """Return the file of a SQLite store, whose options may follow it; None for any other store."""
    if not uri.startswith(_SQLITE):
        return None
    return Path(uri.removeprefix(_SQLITE).partition("?")[0])


def missing_file(uri: str) -> Path | None:
    """Return the file of a SQLite store that is not there: MLflow would make an empty one."""
    path = sqlite_file(uri)
    return path if path is not None and not path.is_file() else None


def store_uri(uri: str | None, folder: Path) -> str:
    """Return the store given, else that in MLFLOW_TRACKING_URI, else a file in `folder`."""
    return uri or os.environ.get("MLFLOW_TRACKING_URI") or sqlite_uri(folder / "mlflow.db")


def without_password(uri: str) -> str:
    """Return the URI with user and password blotted out."""
    return re.sub(r"//[^/@]*@", "//***@", uri)


_DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


def apply_mlflow_settings() -> None:
    """Put the settings into the environment of this process and of those it starts.

    With MLflow's own, a server that is gone is waited for 248 s at every call.
    """
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)


def tracking_uri(cfg: TrackingConfig, folder: Path) -> str:
    """Return the tracking store's URI, absolute where it is a file.

    Args:
        cfg: ``uri`` comes first, then MLFLOW_TRACKING_URI.
        folder: Holds the default store ``mlflow.db``, where ``mlflow ui`` finds it.

    Raises:
        GsnrError: MLflow no longer supports this kind of store.
    """
    uri = store_uri(cfg.uri, folder)
    if uri.startswith(_SQLITE):
        return sqlite_uri(folder / uri.removeprefix(_SQLITE))  # an absolute path stays
    if "://" not in uri or uri.startswith("file:"):
        raise GsnrError(
            f"tracking.uri={uri}: MLflow keeps runs in a database or on a server, no longer in "
            "plain folders. Use sqlite:///FILE.db, http://HOST:PORT, or tracking=none."
        )
    return uri


def describe_tracking(tracking: TrackingConfig, launch_folder: Path) -> str:
    """Say where results are tracked and how to browse them."""
    if tracking.name != "mlflow":
        return "none: records on disk only"
    uri = tracking_uri(tracking, launch_folder)
    default = uri == sqlite_uri(launch_folder / "mlflow.db")
    browse = "mlflow ui" if default else f"mlflow ui --backend-store-uri {uri}"
    hint = f"  (browse: {browse})" if sqlite_file(uri) else ""
    return f"{without_password(uri)}, experiment {tracking.experiment}{hint}"
