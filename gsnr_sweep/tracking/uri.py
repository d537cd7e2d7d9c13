"""Tracking stores' addresses: the default one, and as people may see them."""

from __future__ import annotations

import os
import re
from pathlib import Path


def store_uri(uri: str | None, folder: Path) -> str:
    """Return the store given, else that in MLFLOW_TRACKING_URI, else a file in `folder`."""
    return uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder / 'mlflow.db'}"


def without_password(uri: str) -> str:
    """Return the URI with user and password blotted out."""
    return re.sub(r"//[^/@]*@", "//***@", uri)
