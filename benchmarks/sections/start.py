"""Section 5: the README's command, and how long a user waits before anything is computed."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from rich.console import Console

from benchmarks import commands
from benchmarks.plans import Plan
from benchmarks.statistics import Spread, number, ratio, take_turns
from benchmarks.tables import Section, Table

TORCH = "`import torch`"


def run(plan: Plan, console: Console) -> Section:
    """Time the README's command, then short ones in turn.

    Args:
        plan: Sizes.
        console: Where to say what is going on.
    """
    with tempfile.TemporaryDirectory() as used, tempfile.TemporaryDirectory() as fresh:
        console.print("the README's command", highlight=False)
        whole = commands.run_in(Path(used), commands.ours(plan.main_job, multirun=True))
        console.print("start-up", highlight=False)
        lines = _short_commands(plan, Path(used), Path(fresh))
        turns = {name: (lambda line=line: commands.run_in(*line).seconds) for name, line in lines}
        times = take_turns(turns, plan.start_rounds)
    main_job = Table("The README's command", ["", "seconds"])
    main_job.add(f"`python launch.py -m {' '.join(plan.main_job)}`", number(whole.seconds))
    main_job.notes.append("In all, once, in an empty folder: MLflow makes its store too.")
    table = Table("Until something is computed", ["", "seconds", f"times {TORCH}"])
    for name, seconds in times.items():
        table.add(name, Spread.of(seconds).text(), ratio(seconds, times[TORCH]).text())
    table.notes.append(
        f"Whole commands, {plan.start_rounds} times in turn. The dry runs are of the README's "
        "grid; where there are runs, of a grid that is like it but for the seed, and finished runs "
        "are looked up in a SQLite store, too."
    )
    return Section("start", [main_job, table], {"main_job": whole.seconds, "seconds": times})


def _short_commands(
    plan: Plan, used: Path, fresh: Path
) -> list[tuple[str, tuple[Path, list[str]]]]:
    """Return each command's name, folder and line."""
    dry = [*plan.main_job, "seed=1", "dry_run=true"]
    return [
        (TORCH, (fresh, [sys.executable, "-c", "import torch"])),
        ("`import gsnr_sweep`", (fresh, [sys.executable, "-c", "import gsnr_sweep"])),
        ("`launch.py --help`", (fresh, commands.ours(["--help"]))),
        ("`dry_run=true`, empty folder", (fresh, commands.ours(dry, multirun=True))),
        ("`dry_run=true`, folder with runs", (used, commands.ours(dry, multirun=True))),
    ]
