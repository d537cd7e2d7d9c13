"""Where and with what a run was made: versions, code, machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import socket
import subprocess
from functools import lru_cache
from pathlib import Path

import torch

_PACKAGES = ("gsnr-sweep", "torchvision", "numpy", "hydra-core", "mlflow-skinny")


def describe_environment(device: str) -> dict[str, str]:
    """Return what identifies machine and code, by tag name.

    Args:
        device: The device in words.
    """
    return {
        **{f"version.{name}": version for name, version in _versions()},
        **dict(_git_state()),
        "python": platform.python_version(),
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "cpu_count": str(os.cpu_count()),
        "device": device,
    }


@lru_cache(maxsize=1)
def _versions() -> tuple[tuple[str, str], ...]:
    # A distribution's version does not say which build it is: 2.13.0 may be 2.13.0+cu130.
    found = [("torch", str(torch.__version__))]
    for name in _PACKAGES:
        try:
            found.append((name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            continue
    return tuple(found)


@lru_cache(maxsize=1)
def _git_state() -> tuple[tuple[str, str], ...]:
    """Return commit and dirty flag of the checkout this package runs from, if it is one."""
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return ()
    dirty = _git("status", "--porcelain", "--untracked-files=no")
    return (("git.commit", commit), ("git.dirty", str(bool(dirty)).lower()))


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
