"""Whole commands, each timed in a fresh folder from the start of Python to its end."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
_ELSEWHERE = ("MLFLOW_TRACKING_URI", "GSNR_DATA_ROOT")


@dataclass(frozen=True)
class Ran:
    """How a command went.

    Attributes:
        seconds: From its start to its end.
        output: What it printed.
        records: Records of the tool's runs in its folder.
    """

    seconds: float
    output: str
    records: list[dict[str, Any]]


@lru_cache(maxsize=1)
def _store_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()


def migrated_store() -> Path:
    """Return an empty SQLite store whose schema exists: making it takes seconds for anybody.

    It is made once and goes when this process ends.
    """
    from mlflow import MlflowClient

    path = Path(_store_folder().name) / "empty.db"
    if not path.exists():
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
        MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


def ours(overrides: Sequence[str], multirun: bool = False) -> list[str]:
    """Return the tool's command."""
    return [sys.executable, str(ROOT / "launch.py"), *(["-m"] if multirun else []), *overrides]


def by_hand(keys: Mapping[str, str], *options: str) -> list[str]:
    """Return the hand-written script's command for the tool's keys.

    Args:
        keys: Values by key as the tool has them; lists separated by commas, in brackets or not.
        options: Further options as they are.
    """
    command = [sys.executable, "-m", "benchmarks.by_hand"]
    for key, value in keys.items():
        command += [f"--{key.replace('_', '-')}", *value.strip("[]").split(",")]
    return [*command, *options]


def run(command: Sequence[str], store: Path | None = None) -> Ran:
    """Run a command in a fresh folder with a copy of an empty store.

    Raises:
        SystemExit: It failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        if store is not None:
            shutil.copy(store, Path(folder) / "mlflow.db")
        return run_in(Path(folder), command)


def run_in(folder: Path, command: Sequence[str]) -> Ran:
    """Run a command in a folder.

    Raises:
        SystemExit: It failed.
    """
    inherited = {key: value for key, value in os.environ.items() if key not in _ELSEWHERE}
    environment = {**inherited, "PYTHONPATH": str(ROOT), "MLFLOW_DISABLE_TELEMETRY": "true"}
    started = time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        tail = f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        raise SystemExit(f"{' '.join(command[1:4])} … failed:\n{tail}")
    return Ran(seconds, done.stdout, _records(folder))


def _records(folder: Path) -> list[dict[str, Any]]:
    """Read the records that lie in run folders, not the copies that MLflow keeps."""
    paths = [path for path in folder.rglob("record.json") if "mlartifacts" not in path.parts]
    return [json.loads(path.read_text()) for path in sorted(paths)]


def hand_results(output: str) -> list[dict[str, Any]]:
    """Read what the hand-written script printed, one JSON line a run."""
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]
