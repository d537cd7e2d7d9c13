"""A tracking store: opened, prepared for concurrent writers, and the tags that runs carry in it."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse
from urllib.request import url2pathname

from gsnr_sweep._startup import loading_quickly
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.records.state import State
from gsnr_sweep.tracking.sqlite_store import artifact_roots, move_artifacts, prepare_sqlite_store
from gsnr_sweep.tracking.uri import apply_mlflow_settings, sqlite_file, without_password
from gsnr_sweep.wording import printable

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

ARTIFACTS = "mlartifacts"

KIND_TAG = "gsnr.kind"

STATE_TAG = "gsnr.state"

HASH_TAG = "gsnr.config_hash"

KEY_TAG = "gsnr.key"

MLFLOW_STATUS = {
    State.FINISHED: "FINISHED",
    State.DIVERGED: "FAILED",
    State.FAILED: "FAILED",
    State.INTERRUPTED: "KILLED",
    State.KILLED: "KILLED",
}

PARENT_TAG = "mlflow.parentRunId"

_TRAINING = {"mlflow.experimentKind": "custom_model_development"}  # the UI's view of the runs


def open_store(uri: str, experiment: str) -> tuple[MlflowClient, str]:
    """Connect to a store, creating schema and experiment if they are missing.

    A fresh SQLite store must be opened once before many processes use it: its schema is made then.

    Returns:
        The client and the experiment's id.

    Raises:
        GsnrError: The store cannot be reached or opened.
    """
    with loading_quickly():
        return _opened(uri, experiment)


def _opened(uri: str, experiment: str) -> tuple[MlflowClient, str]:
    import mlflow

    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # its retries are not the user's concern
    apply_mlflow_settings()
    try:
        client = connect(uri)
        return client, _experiment_id(client, uri, experiment)
    except GsnrError:
        raise
    except mlflow.exceptions.MlflowException as error:
        reason = store_problem(error)
        raise GsnrError(
            f"The tracking store {without_password(uri)} cannot be used ({reason}). Start it, name "
            "another with tracking.uri=URI (or MLFLOW_TRACKING_URI), or run with tracking=none."
        ) from None
    except Exception as error:
        reason = store_problem(error)
        raise GsnrError(
            f"The tracking store {without_password(uri)} cannot be opened ({reason}). "
            "Try again if that passes, name another with tracking.uri=URI, or run with "
            "tracking=none."
        ) from None


def _experiment_id(client: MlflowClient, uri: str, experiment: str) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(experiment)
    if found is None:
        try:
            path = sqlite_file(uri)
            root = _artifacts_beside(path).as_uri() if path else None
            return str(client.create_experiment(experiment, root, _TRAINING))
        except MlflowException:
            found = client.get_experiment_by_name(experiment)
            if found is None:
                raise  # else another process made it meanwhile
    if found.lifecycle_stage != "active":
        seen = without_password(uri)
        raise GsnrError(
            f"tracking.experiment={experiment}: this experiment was deleted in MLflow, which keeps "
            f"its name and its runs until they are purged. Restore it (MLFLOW_TRACKING_URI={seen} "
            f"mlflow experiments restore --experiment-id {found.experiment_id}), or choose another "
            "one: tracking.experiment=NAME."
        )
    return str(found.experiment_id)


def connect(uri: str) -> MlflowClient:
    """Connect to a store that is there, in which artifacts lie beside it if it is a SQLite file."""
    from mlflow import MlflowClient

    if path := sqlite_file(uri):
        prepare_sqlite_store(path)
        for location in artifact_roots(path):
            _keep_artifacts_beside(path, location)
    return MlflowClient(uri)


def _keep_artifacts_beside(path: Path, location: str) -> None:
    """Have the store of a project that was moved keep artifacts where they are now."""
    now = _artifacts_beside(path)
    before = Path(url2pathname(urlparse(location).path))
    if not location.startswith("file:") or before.name != ARTIFACTS or before == now:
        return
    if before.is_dir() and not (now.is_dir() and (before.parent / path.name).is_file()):
        return  # meant so; else this store is a copy, and what lies there belongs to the original
    move_artifacts(path, location, now.as_uri())
    log.warning("MLflow: %s was moved: its artifacts are in %s, no more in %s", path, now, before)


def store_problem(error: Exception) -> str:
    """Say what went wrong without the SQL or the server's answer that may follow it."""
    text = printable(str(error))
    if found := re.search(r"too many (\d+) error responses", text):
        return f"the server answers with error {found[1]}"
    if "database is locked" in text:
        return "another process keeps it locked"
    if "ConnectionPool" in text:
        return "no server answers there"
    lines = text.partition(" Response body:")[0].strip().splitlines()
    return without_password(lines[0][:300]).rstrip(".") if lines else type(error).__name__


def _artifacts_beside(path: Path) -> Path:
    """Keep artifacts beside a SQLite file, whatever folder a worker runs in."""
    return path.absolute().parent / ARTIFACTS


def user_tags() -> dict[str, str]:
    """Return the tags that say whose run it is, as MLflow's own runs carry them."""
    import getpass

    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return {"mlflow.user": user, "mlflow.source.name": "gsnr-sweep", "mlflow.source.type": "LOCAL"}
