"""How this project's commands want MLflow to behave, where the user has not said otherwise."""

from __future__ import annotations

import os

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
