"""Commands of a user whose folder and store hold thousands of finished runs.

``python -m benchmarks.large_store``: a folder is filled with finished runs (copies of one that was
computed, each with its own identity), its SQLite store with their MLflow runs, and the sweep whose
points are among them is launched again, looked at and collected. Seconds and memory of each whole
command.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import commands
from benchmarks.tables import Table, show

TINY = ("data=toy", "n=30", "n_sets=2", "n_test=50", "epochs=2", "measure_at=[0,2]")
_EARLIER = "2026-01-01"
_TABLES = ("runs", "tags", "params", "metrics", "latest_metrics")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--points", type=int, default=2000)
    options = parser.parse_args()
    show(measure(options.runs, options.points, Console())[0], Console())


def measure(runs: int, points: int, console: Console) -> tuple[Table, dict[str, Any]]:
    """Time the commands.

    Args:
        runs: Finished ones in folder and store.
        points: Of the sweep that is launched again, all of them finished.
        console: Where to say what is going on.
    """
    with tempfile.TemporaryDirectory() as folder:
        console.print(f"{runs:,} finished runs are written", highlight=False)
        fill(Path(folder), runs, points)
        grid = [*TINY, f"seed=range({points})"]
        lines = {
            "dry run": commands.ours([*grid, "dry_run=true"], multirun=True),
            "launch: all points are reused, with table, figures and page": commands.ours(
                grid, multirun=True
            ),
            "`gsnr-sweep status`": [sys.executable, "-m", "gsnr_sweep", "status"],
            "`gsnr-sweep collect`": [sys.executable, "-m", "gsnr_sweep", "collect"],
        }
        title = f"{runs:,} finished runs in folder and store, a sweep of {points:,} points"
        table = Table(title, ["", "seconds", "memory [GB]"])
        facts = {}
        for name, line in lines.items():
            seconds, memory = _timed(Path(folder), line)
            console.print(f"  {name}: {seconds:.1f} s", style="dim", highlight=False)
            table.add(name, f"{seconds:.1f}", f"{memory / 1e9:.2f}")
            facts[name] = {"seconds": seconds, "memory": memory}
    table.notes.append("Whole commands, once each; memory is that of the largest process.")
    return table, facts


def fill(folder: Path, runs: int, points: int) -> None:
    """Write finished runs into a folder and its store.

    Args:
        folder: An empty one.
        runs: How many; their seeds count from 0.
        points: In one sweep's folder.
    """
    commands.run_in(folder, commands.ours([*TINY, "seed=0", "hydra.sweep.dir=made"], multirun=True))
    made = folder / "made/0"
    status = json.loads((made / "status.json").read_text())
    record = json.loads((made / "record.json").read_text())
    sent = json.loads((made / "mlflow.json").read_text())
    rows = _rows_of(folder / "mlflow.db", sent["run_id"])
    identities = _identities(runs)
    with closing(sqlite3.connect(folder / "mlflow.db")) as store, store:
        for seed in range(1, runs):
            place = folder / f"multirun/{_EARLIER}/{seed // points:02d}-00-00/{seed % points}"
            run_id, key = f"{seed:032x}", identities[seed]
            place.mkdir(parents=True)
            _write(place / "status.json", {**status, "config_hash": key, "name": f"seed={seed}"})
            config = {**record["config"], "seed": seed}
            _write(place / "record.json", {**record, "config_hash": key, "config": config})
            _write(place / "mlflow.json", {**sent, "run_id": run_id})
            shutil.copy(made / "attempt.1", place)
            _enter(store, rows, sent["run_id"], run_id, (status["config_hash"], key))


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def _identities(runs: int) -> list[str]:
    from benchmarks.ours import typed_config
    from gsnr_sweep.config.identity import run_identity

    return [run_identity(typed_config(*TINY, f"seed={seed}")) for seed in range(runs)]


def _rows_of(store: Path, run_id: str) -> dict[str, tuple[list[str], list[Any]]]:
    """Read the columns and rows that belong to a run, by table."""
    found = {}
    with closing(sqlite3.connect(store)) as database:
        for table in _TABLES:
            cursor = database.execute(f"SELECT * FROM {table} WHERE run_uuid = ?", (run_id,))
            found[table] = [column[0] for column in cursor.description], cursor.fetchall()
    return found


def _enter(
    store: sqlite3.Connection,
    rows: dict[str, tuple[list[str], list[Any]]],
    before: str,
    run_id: str,
    keys: tuple[str, str],
) -> None:
    """Enter a copy of a run with another identity."""
    new = {before: run_id, keys[0]: keys[1]}
    for table, (columns, values) in rows.items():
        places = ", ".join("?" * len(columns))
        changed = [[new.get(value, value) for value in row] for row in values]
        store.executemany(f"INSERT INTO {table} VALUES ({places})", changed)


_MEASURED = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(code)
"""


def _timed(folder: Path, line: Sequence[str]) -> tuple[float, int]:
    """Return the seconds of a command and the bytes of its largest process."""
    environment = {**os.environ, "PYTHONPATH": str(commands.ROOT)}
    environment.pop("MLFLOW_TRACKING_URI", None)
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, *line],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{line} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return time.perf_counter() - started, int(done.stderr.split()[-1]) * 1024


if __name__ == "__main__":
    main()
