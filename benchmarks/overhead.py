"""What a launch costs beside the runs themselves: this project's launcher and Hydra's others.

``python -m benchmarks.overhead`` launches the same grid of tiny runs with each launcher in turn,
each in a fresh folder and tracking store whose schema exists, and prints seconds a run. Needs
``pip install -e '.[bench]'``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks import commands
from benchmarks.statistics import Spread, number
from benchmarks.tables import Table, show

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
    table, _ = measure(options.launchers, options.runs, options.workers, options.repeats, console)
    show(table, console)


def measure(
    launchers: Sequence[str], runs: int, workers: int, repeats: int, console: Console
) -> tuple[Table, dict[str, dict[str, list[float]]]]:
    """Launch the grid with each launcher in turn.

    Returns:
        The table, and by launcher the seconds of the whole command and of its runs' computing.
    """
    columns = ["launcher", "whole command [s]", "a run [s]", "of it training [s]"]
    table = Table(f"{runs} tiny runs, {workers} workers", columns)
    times: dict[str, dict[str, list[float]]] = {
        name: {"seconds": [], "computing": []} for name in launchers
    }
    store = commands.migrated_store()
    for _ in range(repeats):
        for name in launchers:
            found = launch(name, runs, workers, store)
            for kind, value in zip(times[name].values(), found, strict=True):
                kind.append(value)
            console.print(f"  {name}: {found[0]:.1f} s", style="dim", highlight=False)
    for name, found in times.items():
        whole, compute = Spread.of(found["seconds"]), Spread.of(found["computing"])
        a_run = number(whole.median / runs), number(compute.median / runs)
        table.add(name, whole.text(), *a_run)
    return table, times


def launch(name: str, runs: int, workers: int, store: Path) -> tuple[float, float]:
    """Return the seconds of the whole command and those that its runs spent computing."""
    chosen = [argument.format(workers=workers) for argument in LAUNCHERS[name]]
    ran = commands.run(commands.ours([*TINY, f"seed=range({runs})", *chosen], True), store)
    finished = [r["summary"] for r in ran.records if r["state"] == "finished" and "summary" in r]
    if len(finished) != runs:
        raise SystemExit(f"{name}: {len(finished)} of {runs} runs finished")
    return ran.seconds, sum(s["wall_time_s"] - s["overhead_s"] for s in finished)


if __name__ == "__main__":
    main()
