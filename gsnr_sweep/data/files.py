"""The files that data are read from, told apart by their content wherever they lie."""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any


def own_path(text: str) -> Path:
    """Return the path that a config names; ``~`` is the user's home."""
    return Path(os.path.expanduser(text)).absolute()  # noqa: PTH111 - raises for an unknown user


def file_digest(path: Path, method: str = "sha256") -> str:
    """Return a digest of a file's content; of a missing file, its name.

    Args:
        path: The file.
        method: As `hashlib` names it.
    """
    try:
        found = path.stat()
    except OSError:
        return str(path)
    return _digest(path, method, _version(found))[0]


def unpacked_digest(path: Path, method: str = "sha256") -> tuple[str, int]:
    """Return a digest of what a gzip file holds, and how many bytes that is.

    Raises:
        OSError: It is missing or damaged.
        EOFError: It ends too early.
        zlib.error: It is damaged.
    """
    return _digest(path, method, _version(path.stat()), packed=True)


def describe_files(paths: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Return size in bytes and SHA-256 sum of files by name, as records keep them."""
    return {
        path.name: {"bytes": path.stat().st_size, "sha256": file_digest(path)} for path in paths
    }


def _version(found: os.stat_result) -> tuple[int, ...]:
    """Tell a file from what is written under its name later, also if its times are copied."""
    return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


@lru_cache(maxsize=1024)
def _digest(
    path: Path, method: str, _version: tuple[int, ...], packed: bool = False
) -> tuple[str, int]:
    digest, total = hashlib.new(method, usedforsecurity=False), 0
    with gzip.open(path) if packed else path.open("rb") as file:
        while part := file.read(2**20):
            digest.update(part)
            total += len(part)
    return digest.hexdigest(), total
