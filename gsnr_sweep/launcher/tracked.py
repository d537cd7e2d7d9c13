"""Saying where results are tracked."""

from __future__ import annotations

from pathlib import Path

from gsnr_sweep.config.schema import TrackingConfig
from gsnr_sweep.tracking.run_tracker import tracking_uri
from gsnr_sweep.tracking.uri import without_password


def describe_tracking(tracking: TrackingConfig, launch_folder: Path) -> str:
    """Say where results are tracked and how to browse them."""
    if tracking.name != "mlflow":
        return "none: records on disk only"
    uri = tracking_uri(tracking, launch_folder)
    default = uri == f"sqlite:///{launch_folder / 'mlflow.db'}"
    browse = "mlflow ui" if default else f"mlflow ui --backend-store-uri {uri}"
    hint = f"  (browse: {browse})" if uri.startswith("sqlite") else ""
    return f"{without_password(uri)}, experiment {tracking.experiment}{hint}"
