"""Files that another version of this package may have written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any


def known_fields(cls: type, content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a dataclass knows of a file's content; fields of other versions are left out."""
    known = {item.name for item in fields(cls)}
    return {key: value for key, value in content.items() if key in known}
