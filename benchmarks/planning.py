"""How long it takes to plan and check a large grid, and to aggregate a large sweep.

``python -m benchmarks.planning``
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
GRID = ("n=range(100,5100,100)", "ch=2,3,4,5,6,7,8,9", "p_random=0,0.1,0.2,0.3,0.4")
RUNS, EPOCHS = 300, 50


def main() -> None:
    table = Table(title="large grids and sweeps")
    table.add_column("what")
    table.add_column("seconds", justify="right")
    table.add_row("plan and check 2,000 points: the whole command, dry_run=true", f"{_plan():.1f}")
    seconds, points = _aggregate()
    text = f"aggregate {RUNS} runs of {points:,} metric points each, figure included"
    table.add_row(text, f"{seconds:.1f}")
    Console().print(table)


def _plan() -> float:
    command = [sys.executable, str(ROOT / "launch.py"), "-m", *GRID, "dry_run=true"]
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        subprocess.run(command, cwd=folder, capture_output=True, check=True)
        return time.perf_counter() - started


def _aggregate() -> tuple[float, int]:
    """Time the aggregation of a sweep whose records are written here."""
    from gsnr_sweep.collect import collect

    with tempfile.TemporaryDirectory() as temporary:
        manifest, points = _write_sweep(Path(temporary))
        started = time.perf_counter()
        result = collect(manifest, Console(quiet=True))
        seconds = time.perf_counter() - started
        if result is None or result.table.runs != RUNS:
            raise SystemExit("the sweep was not aggregated")
        return seconds, points


def _write_sweep(folder: Path) -> tuple[object, int]:
    import random

    from gsnr_sweep.manifest import Manifest, SweepRun
    from gsnr_sweep.record import Measurement, RunRecord
    from gsnr_sweep.status import Status, write_status

    rng = random.Random(0)
    names = ["osgr_lhs", "osgr_rhs", *(f"layer/{i}/gsnr" for i in range(38))]
    runs = []
    for index in range(RUNS):
        own = folder / str(index)
        own.mkdir()
        n = 1000 * (1 + index % 15)
        measurements = [
            Measurement(epoch, {name: rng.random() for name in names}) for epoch in range(EPOCHS)
        ]
        cfg = {"n": n, "ch": 6 + 2 * (index % 7), "p_random": 0.1 * (index % 5), "seed": index}
        record = RunRecord(f"run {index}", cfg, f"{index:016x}", {}, "finished")
        record.measurements = measurements
        record.write(own)
        write_status(own, Status(state="finished", run_id=f"{index:032x}"))
        runs.append(SweepRun(index, f"run {index}", f"{index:016x}", folder=str(index)))
    return Manifest("bench", "bench", folder, runs=runs), EPOCHS * len(names)


if __name__ == "__main__":
    main()
