"""Whether two checkouts of this project compute the same numbers, to the last digit.

``python -m benchmarks.compare_checkouts BEFORE AFTER --main`` runs the experiments of the paper at
the scale ``smoke`` and README's main command in both folders, each with the Python of its own
``.venv`` and in a fresh folder, and compares the sweeps' ``table.csv`` cell by cell. Rows are those
of equal settings and epoch, in whatever order they were written. ``config_hash`` is compared too:
if it changes, finished runs are no longer found and are computed again. The exit code is 1 if
anything differs or a command fails.

The numbers are the same to the last digit on one machine and installation only.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from pandas import DataFrame

MAIN = ("n=1000,2000", "ch=6,8")
TABLE = "table.csv"
LEFT_OUT = {
    "run_id": "ids",
    "started": "dates",
    "time_ms": "dates",
    "wall_time_s": "times",
    "overhead_s": "times",
    "train_samples_per_s": "times",
    "peak_memory_mb": "memory",
    "data.path": "paths",
    "data.root": "paths",
    "host": "machine",
    "platform": "machine",
    "cpu_count": "machine",
    "python": "versions",
    "code": "versions",
    "git.commit": "versions",
    "git.dirty": "versions",
}
"""Columns that are no numbers of science, and what they hold; tables need not have them."""
LEFT_OUT_BEGINNINGS = ("version.", "tracking.")
NO_DATA = ("could not be downloaded", "there is no such file. Give an .npz")
"""What the tool says where data are absent."""
_ELSEWHERE = ("MLFLOW_TRACKING_URI", "PYTHONPATH", "VIRTUAL_ENV")
_SHOWN = 20


@dataclass(frozen=True)
class Outcome:
    """How one command went in one checkout.

    Attributes:
        table: The sweep's table; None if there is none.
        seconds: Wall time; None where the table is an earlier one.
        problem: Why there is no table, empty if there is one.
        skipped: Whether that is for want of data.
    """

    table: Path | None
    seconds: float | None = None
    problem: str = ""
    skipped: bool = False

    @property
    def took(self) -> str:
        """Say how long it took."""
        return "kept" if self.seconds is None else f"{self.seconds:.0f} s"


@dataclass
class Comparison:
    """Two tables beside each other.

    Attributes:
        rows: Number of rows that both have.
        columns: The columns compared.
        equal: Number of cells that are equal.
        differing: Sentences on what is not.
    """

    rows: int = 0
    columns: list[str] = field(default_factory=list)
    equal: int = 0
    differing: list[str] = field(default_factory=list)


def main() -> int:
    """Compare two checkouts; return 1 if anything differs."""
    parser = _parser()
    options = parser.parse_args()
    before, after = options.before.resolve(), options.after.resolve()
    extra = _overrides(options.override, parser)
    jobs = _jobs(before, after, options.presets, options.main, options.only, extra)
    if unknown := sorted({*options.only} - {*jobs}):
        parser.error(f"there is no {unknown[0]}: there are {', '.join(jobs) or 'none'}")
    console = Console(highlight=False, soft_wrap=True)
    differs = False
    with tempfile.TemporaryDirectory() as temporary:
        kept = options.keep or Path(temporary)
        for name, overrides in jobs.items():
            first = earlier(options.before_results, name)
            if first is None:
                first = run(before, overrides, kept.resolve() / "before" / name)
            if first.skipped:
                console.print(f"{name}: skipped: {first.problem}")
                continue
            second = run(after, overrides, kept.resolve() / "after" / name)
            differs |= not _told(name, first, second, console)
    left = ", ".join(f"{name} ({kind})" for name, kind in LEFT_OUT.items())
    left_too = ", ".join(f"{beginning}*" for beginning in LEFT_OUT_BEGINNINGS)
    console.print(f"Not compared where a table has them: {left}, {left_too}.", style="dim")
    return int(differs)


def run(checkout: Path, overrides: Sequence[str], kept: Path) -> Outcome:
    """Run a sweep of a checkout in a fresh folder.

    Args:
        checkout: Folder with ``launch.py`` and ``.venv``.
        overrides: The command line after ``launch.py -m``.
        kept: Folder for its table and what it printed.
    """
    python = checkout / ".venv" / "bin" / "python"
    if not python.exists():
        return Outcome(None, 0.0, f"there is no {python}")
    inherited = {key: value for key, value in os.environ.items() if key not in _ELSEWHERE}
    kept.mkdir(parents=True, exist_ok=True)
    (kept / TABLE).unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        done = subprocess.run(
            [str(python), str(checkout / "launch.py"), "-m", *overrides],
            cwd=folder,
            env={**inherited, "MLFLOW_DISABLE_TELEMETRY": "true"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        seconds = time.perf_counter() - started
        (kept / "output.txt").write_text(done.stdout)
        tables = list(Path(folder).glob(f"multirun/*/*/{TABLE}"))
        if done.returncode == 0 and len(tables) == 1:
            shutil.copy(tables[0], kept / TABLE)
            return Outcome(kept / TABLE, seconds)
    said = " ".join(done.stdout.split())
    skipped = any(words in said for words in NO_DATA)
    told = said.partition("gsnr-sweep: ")[2] or said[-500:] or "it printed nothing"
    return Outcome(None, seconds, f"exit code {done.returncode}: {told[:500]}", skipped)


def earlier(results: Path | None, name: str) -> Outcome | None:
    """Return the table that an earlier comparison kept of a command, None if there is none."""
    path = results / name / TABLE if results else None
    return Outcome(path) if path and path.is_file() else None


def compare(before: Path, after: Path) -> Comparison:
    """Compare two tables cell by cell: as text, or as the numbers that they are."""
    first, second = _read(before), _read(after)
    found = Comparison()
    for one, other, where in ((first, second, "before"), (second, first, "after")):
        if only := [name for name in one.columns if name not in other.columns]:
            found.differing.append(f"columns only {where}: {', '.join(only)}")
    if len(first) != len(second):
        found.differing.append(f"{len(first)} rows before, {len(second)} after")
    found.rows = min(len(first), len(second))
    found.columns = [name for name in first.columns if name in second.columns]
    keys = [name for name in _keys(first) if name in found.columns]
    one, other = _in_order(first, keys, found.columns), _in_order(second, keys, found.columns)
    for row, name in itertools.product(range(found.rows), found.columns):
        a, b = str(one.at[row, name]), str(other.at[row, name])
        if _same(a, b):
            found.equal += 1
        else:
            place = ", ".join(f"{key}={one.at[row, key]!s}" for key in keys if key != "name")
            found.differing.append(f"{name}: {a or 'empty'} → {b or 'empty'}  ({place})")
    return found


def _read(path: Path) -> DataFrame:
    """Read a table as it is written, without the columns that are left out."""
    from pandas import read_csv

    frame = read_csv(path, dtype=str, keep_default_na=False)
    left_out = [
        name
        for name in frame.columns
        if name in LEFT_OUT or str(name).startswith(LEFT_OUT_BEGINNINGS)
    ]
    return frame.drop(columns=left_out)


def _keys(frame: DataFrame) -> list[str]:
    """Return the columns that say which measurement a row is: those up to the epoch."""
    names = [str(name) for name in frame.columns]
    until = names.index("epoch") + 1 if "epoch" in names else 0
    return [name for name in names[:until] if name not in ("config_hash", "state")]


def _in_order(frame: DataFrame, keys: Sequence[str], columns: Sequence[str]) -> DataFrame:
    order = [*keys, *(name for name in columns if name not in keys)]
    return frame.sort_values(order, ignore_index=True) if order else frame


def _same(a: str, b: str) -> bool:
    if a == b:
        return True
    try:
        return float(a) == float(b)
    except ValueError:
        return False


def _told(name: str, before: Outcome, after: Outcome, console: Console) -> bool:
    """Print how a command compares; return whether all is the same."""
    if after.skipped and before.seconds is None:
        console.print(f"{name}: skipped after: {after.problem}")
        return True
    for outcome, where in ((before, "before"), (after, "after")):
        if outcome.table is None:
            console.print(f"{name}: FAILED {where}: {outcome.problem}", style="red")
    if before.table is None or after.table is None:
        return False
    found = compare(before.table, after.table)
    cells = found.rows * len(found.columns)
    verdict = "same" if not found.differing else "DIFFERENT"
    console.print(
        f"{name}: {verdict}: {found.rows} rows, {len(found.columns)} columns compared, "
        f"{found.equal} of {cells} cells equal (before {before.took}, after {after.took})"
    )
    for sentence in found.differing[:_SHOWN]:
        console.print(f"    {sentence}", style="red", markup=False)
    if len(found.differing) > _SHOWN:
        console.print(f"    and {len(found.differing) - _SHOWN} more", style="red")
    return not found.differing


def _jobs(
    before: Path,
    after: Path,
    scale: str,
    with_main: bool,
    only: Sequence[str],
    extra: Mapping[str, Sequence[str]],
) -> dict[str, list[str]]:
    """Return the command lines to compare, by name."""
    presets = sorted({*_presets(before), *_presets(after)}) if scale != "none" else []
    jobs = {name: [f"experiment={name}", f"scale={scale}"] for name in presets}
    if with_main or "main" in only:
        jobs["main"] = list(MAIN)
    chosen = {name: command for name, command in jobs.items() if not only or name in only}
    return {name: [*command, *extra.get(name, ())] for name, command in chosen.items()}


def _presets(checkout: Path) -> set[str]:
    patterns = ("conf/experiment/*.yaml", "*/conf/experiment/*.yaml")
    return {path.stem for pattern in patterns for path in checkout.glob(pattern)}


def _overrides(
    given: Sequence[Sequence[str]], parser: argparse.ArgumentParser
) -> dict[str, list[str]]:
    """Sort overrides NAME:KEY=VALUE by command; those that follow without a name are its too."""
    found: dict[str, list[str]] = {}
    for group in given:
        name = ""
        for one in group:
            head, colon, rest = one.partition(":")
            if colon and "=" not in head:
                name, one = head, rest
            if not name:
                parser.error(f"--override takes NAME:KEY=VALUE, not {one}")
            found.setdefault(name, []).append(one)
    return found


def _parser() -> argparse.ArgumentParser:
    text = __doc__.splitlines()[0] if __doc__ else ""
    prog = "python -m benchmarks.compare_checkouts"
    parser = argparse.ArgumentParser(prog=prog, description=text)
    add = parser.add_argument
    add("before", type=Path, metavar="BEFORE", help="a checkout with its .venv")
    add("after", type=Path, metavar="AFTER", help="the other")
    add("--presets", default="smoke", metavar="SCALE", help="of the experiments; none: only main")
    add("--main", action="store_true", help=f"also launch.py -m {' '.join(MAIN)}")
    add("--only", nargs="+", default=[], metavar="NAME", help="only these experiments (or main)")
    add(
        "--override",
        nargs="+",
        action="append",
        default=[],
        metavar="NAME:KEY=VALUE",
        help="what one experiment is given besides, such as fig9_cifar10:data=npz "
        "data.path=/data/cifar10.npz (paths from /)",
    )
    add("--keep", type=Path, metavar="DIR", help="keep tables and output in DIR/before, DIR/after")
    add(
        "--before-results",
        type=Path,
        metavar="DIR",
        help="earlier tables, DIR/NAME/table.csv (of --keep: DIR/before): what is there is not run",
    )
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
