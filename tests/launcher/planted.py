"""Searching all that a launch leaves, prints and sends for what was planted in it."""

from collections.abc import Iterable
from pathlib import Path


def files_with(folder: Path, planted: Iterable[bytes]) -> set[str]:
    """The names of all files below a folder that hold one of these, stores included."""
    marks = tuple(planted)
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.name for path in files if any(mark in path.read_bytes() for mark in marks)}
