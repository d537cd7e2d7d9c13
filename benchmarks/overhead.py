"""What a launch costs beside the runs themselves: this project's launcher and Hydra's others.

``python -m benchmarks.overhead`` launches the same grid of tiny runs with each launcher in turn,
each in a fresh folder and tracking store whose schema exists, and prints seconds a run. Needs
``pip install -e '.[bench]'``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
TINY = ("data=toy", "n=30", "n_sets=2", "n_test=50", "epochs=2", "measure_at=[0,2]")
LAUNCHERS = {
    "gsnr-sweep local": ("hydra.launcher.workers={workers}",),
    "hydra basic": ("hydra/launcher=basic",),
    "hydra joblib": ("hydra/launcher=joblib", "hydra.launcher.n_jobs={workers}"),
    # it starts all jobs at once: more than a few would not fit into memory
    "submitit plug-in": ("hydra/launcher=submitit_local", "hydra.sweeper.max_batch_size=8"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=64)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--launchers", nargs="+", choices=list(LAUNCHERS), default=list(LAUNCHERS))
    options = parser.parse_args()
    console = Console()
    table = Table(title=f"{options.runs} tiny runs, {options.workers} workers")
    for heading in ("launcher", "whole command [s]", "a run [s]", "of it training [s]"):
        table.add_column(heading, justify="right")
    with tempfile.TemporaryDirectory() as temporary:
        store = _migrated_store(Path(temporary))
        for name in options.launchers:
            seconds, compute = _best(
                lambda name=name: _launch(name, options.runs, options.workers, store),
                options.repeats,
            )
            cells = (seconds, seconds / options.runs, compute / options.runs)
            table.add_row(name, *(f"{value:.3f}" for value in cells))
            console.print(f"{name}: {seconds:.1f} s")
    console.print(table)


def _best(measure: Callable[[], tuple[float, float]], repeats: int) -> tuple[float, float]:
    return min(measure() for _ in range(repeats))


def _migrated_store(folder: Path) -> Path:
    """Make the store's schema once: it takes seconds, and nobody's launcher is to blame for it."""
    from mlflow import MlflowClient

    path = folder / "empty.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


def _launch(name: str, runs: int, workers: int, store: Path) -> tuple[float, float]:
    """Return the seconds of the whole command and those that its runs spent computing."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        shutil.copy(store, folder / "mlflow.db")
        chosen = [argument.format(workers=workers) for argument in LAUNCHERS[name]]
        command = [sys.executable, str(ROOT / "launch.py"), "-m", *TINY, f"seed=range({runs})"]
        started = time.perf_counter()
        done = subprocess.run(
            [*command, *chosen],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_DISABLE_TELEMETRY": "true"},
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.perf_counter() - started
        records = [json.loads(path.read_text()) for path in folder.rglob("record.json")]
        finished = [r["summary"] for r in records if r["state"] == "finished" and "summary" in r]
        if done.returncode or len(_own(folder)) != runs:
            raise SystemExit(f"{name} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        return seconds, sum(s["wall_time_s"] - s["overhead_s"] for s in finished)


def _own(folder: Path) -> list[Path]:
    """Return the records that lie in run folders, not the copies that MLflow keeps."""
    return [path for path in folder.rglob("record.json") if "mlartifacts" not in path.parts]


if __name__ == "__main__":
    main()
