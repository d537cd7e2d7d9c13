"""Tracking stores' addresses, as people may see them."""

from __future__ import annotations

import re


def without_password(uri: str) -> str:
    """Return the URI with user and password blotted out."""
    return re.sub(r"//[^/@]*@", "//***@", uri)
