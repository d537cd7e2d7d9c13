"""``python -m benchmarks``: measure everything, print tables, write JSON and Markdown."""

from __future__ import annotations

import argparse
import importlib
import os
import time
from pathlib import Path

from rich.console import Console

from benchmarks.results import SECTIONS

_WIDTH = 150


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "sections", nargs="*", help=f"which to measure; there is {', '.join(SECTIONS)}"
    )
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--only", default="", help="the same, with commas between")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does everything work?")
    options = parser.parse_args()
    chosen = [*options.sections, *filter(None, options.only.split(","))] or list(SECTIONS)
    if unknown := [name for name in chosen if name not in SECTIONS]:
        parser.error(f"there is no section {unknown[0]}; there is {', '.join(SECTIONS)}")
    if options.quick:  # where cores are shared, as in CI, threads that wait actively cost minutes
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    console = Console()
    run([name for name in SECTIONS if name in chosen], options.output, options.quick, console)


def run(names: list[str], folder: Path, quick: bool, console: Console) -> None:
    """Measure sections, and write each as soon as it is there.

    Args:
        names: Sections.
        folder: Where to write.
        quick: Whether only to show that it works.
        console: Where to print.
    """
    from benchmarks import machine, plans
    from benchmarks.results import write_page, write_section
    from benchmarks.tables import show

    wide = console if console.is_terminal else Console(width=_WIDTH)
    here = machine.describe()
    plan = (plans.quick if quick else plans.full)(machine.cores())
    for name in names:
        started = time.perf_counter()
        section = importlib.import_module(f"benchmarks.sections.{name}").run(plan, wide)
        for table in section.tables:
            show(table, wide)
        seconds = time.perf_counter() - started
        wide.print(f"{name}: {seconds:.0f} s in all\n", highlight=False)
        write_section(folder, section, here, quick)
    wide.print(f"written: {write_page(folder)}", highlight=False)


if __name__ == "__main__":
    main()
