"""How long it takes to plan and check a large grid, and to aggregate a large sweep.

``python -m benchmarks.planning``
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import commands
from benchmarks.tables import Table, show

GRID = ("n=range(100,5100,100)", "ch=2,3,4,5,6,7,8,9", "p_random=0,0.1,0.2,0.3,0.4")
RUNS, EPOCHS = 300, 50


def main() -> None:
    show(measure(GRID, RUNS)[0], Console())


def measure(grid: Sequence[str], runs: int) -> tuple[Table, dict[str, float]]:
    """Plan a grid and aggregate a sweep.

    Args:
        grid: Overrides.
        runs: Of the sweep.

    Returns:
        The table and the seconds of both.
    """
    table = Table("Large grids and sweeps", ["what", "seconds"])
    planned, points = plan(grid)
    text = f"plan and check {points:,} points: the whole command, dry_run=true"
    table.add(text, f"{planned:.1f}")
    aggregated, values = aggregate(runs)
    text = f"aggregate {runs} runs of {values:,} metric points each, figure included"
    table.add(text, f"{aggregated:.1f}")
    return table, {"plan": planned, "points": points, "aggregate": aggregated, "runs": runs}


def plan(grid: Sequence[str]) -> tuple[float, int]:
    """Return the seconds of planning a grid, and its number of points."""
    from benchmarks.ours import grid_size

    seconds = commands.run(commands.ours([*grid, "dry_run=true"], multirun=True)).seconds
    return seconds, grid_size(grid)


def aggregate(runs: int) -> tuple[float, int]:
    """Time the aggregation of a sweep whose records are written here."""
    from gsnr_sweep.report.pipeline import collect

    with tempfile.TemporaryDirectory() as temporary:
        manifest, points = _write_sweep(Path(temporary), runs)
        started = time.perf_counter()
        result = collect(manifest, Console(quiet=True))
        seconds = time.perf_counter() - started
        if result is None or result.table.runs != runs:
            raise SystemExit("the sweep was not aggregated")
        return seconds, points


def _write_sweep(folder: Path, count: int) -> tuple[Any, int]:
    import random

    from gsnr_sweep.records.manifest import Manifest, SweepRun
    from gsnr_sweep.records.record import Measurement, RunRecord
    from gsnr_sweep.records.status import Status, write_status

    rng = random.Random(0)
    names = ["osgr_lhs", "osgr_rhs", *(f"layer/{i}/gsnr" for i in range(38))]
    runs = []
    for index in range(count):
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
