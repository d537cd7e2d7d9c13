"""A tracking store: opened, prepared for concurrent writers, and the tags that runs carry in it."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gsnr_sweep._startup import loading_quickly
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.records.state import State
from gsnr_sweep.tracking.sqlite_store import prepare_sqlite_store
from gsnr_sweep.tracking.uri import sqlite_file, without_password
from gsnr_sweep.wording import printable

if TYPE_CHECKING:
    from mlflow import MlflowClient

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

_MOST_PARAMS = 100
_LONGEST_PARAM = 6000
_LONGEST_NAME = 250
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
    from mlflow import MlflowClient

    for noisy in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # its retries are not the user's concern
    try:
        if path := sqlite_file(uri):
            prepare_sqlite_store(path)
        client = MlflowClient(uri)
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
            "Name another with tracking.uri=URI, or run with tracking=none."
        ) from None


def _experiment_id(client: MlflowClient, uri: str, experiment: str) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(experiment)
    if found is None or found.lifecycle_stage != "active":
        try:
            artifacts = _artifacts_beside(uri)
            return str(client.create_experiment(experiment, artifacts, _TRAINING))
        except MlflowException:
            found = client.get_experiment_by_name(experiment)
            if found is None or found.lifecycle_stage != "active":
                raise  # else another process made it meanwhile
    return str(found.experiment_id)


def store_problem(error: Exception) -> str:
    """Say what went wrong without the SQL or the server's answer that may follow it."""
    text = printable(str(error))
    if found := re.search(r"too many (\d+) error responses", text):
        return f"the server answers with error {found[1]}"
    if "ConnectionPool" in text:
        return "no server answers there"
    lines = text.partition(" Response body:")[0].strip().splitlines()
    return without_password(lines[0][:300]).rstrip(".") if lines else type(error).__name__


def _artifacts_beside(uri: str) -> str | None:
    """Keep artifacts beside a SQLite file, whatever folder a worker runs in."""
    path = sqlite_file(uri)
    return (path.parent / "mlartifacts").as_uri() if path else None


def user_tags() -> dict[str, str]:
    """Return the tags that say whose run it is, as MLflow's own runs carry them."""
    import getpass

    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return {"mlflow.user": user, "mlflow.source.name": "gsnr-sweep", "mlflow.source.type": "LOCAL"}


def legal_name(name: str) -> str:
    """Write the name of a parameter or metric so that MLflow takes it; most stay as they are."""
    parts = re.sub(r"[^\w\-. :/]", "_", name)[:_LONGEST_NAME].split("/")
    return "/".join("_" if part in ("", ".", "..") else part for part in parts)


def log_params(client: MlflowClient, run_id: str, params: Mapping[str, Any]) -> None:
    """Log parameters within MLflow's limits."""
    from mlflow.entities import Param

    entries = [
        Param(legal_name(key), printable(str(value))[:_LONGEST_PARAM])
        for key, value in params.items()
    ]
    for start in range(0, len(entries), _MOST_PARAMS):
        client.log_batch(run_id, params=entries[start : start + _MOST_PARAMS])
