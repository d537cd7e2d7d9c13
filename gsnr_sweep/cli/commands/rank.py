"""``gsnr-sweep rank``: which measure predicts generalization, over the runs of some sweeps."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gsnr_sweep.cli.aggregate import epoch_as_typed
from gsnr_sweep.errors import GsnrError

if TYPE_CHECKING:
    from rich.console import Console

    from gsnr_sweep.analysis.analysis import Analysis
    from gsnr_sweep.analysis.table import SweepTable

DESCRIPTION = """\
Rank all measures of some sweeps by how well they order the trained networks by their
generalization (Jiang et al. 2020, Dziugaite et al. 2020): Kendall's rank correlation, the same over
pairs that differ in one setting alone, conditional mutual information, and sign errors in the worst
environment, with 95 % intervals over seeds, beside random numbers and noisy oracles.

SWEEP is the sweep's id or the start of it, its name, its folder, or the id of its MLflow run;
several are ranked together. Left out, it is the latest sweep launched in this folder.
"""
EPILOG = """\
examples:
  %(prog)s
  %(prog)s multirun/2026-11-21/01-31-47.104690 --target gen_gap --at every
  %(prog)s 1a2b3c4d 5e6f7a8b --at 20 --measures gsnr_mean osgr_rhs margin_p5 --output comparison
"""
PARSER: dict[str, Any] = {
    "description": DESCRIPTION,
    "epilog": EPILOG,
    "formatter_class": argparse.RawDescriptionHelpFormatter,
}
EVERY = "every"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command line takes."""
    add = parser.add_argument
    add("sweeps", metavar="SWEEP", nargs="*", help="which; the latest")
    add(
        "--target",
        metavar="METRIC",
        help="what to predict: gen_error, gen_gap, test_error or test_loss (default: the first of "
        "them that the runs measured)",
    )
    add(
        "--at",
        type=_place,
        metavar="EPOCH",
        default="end",
        help="an epoch such as 20, 0.5 or step:5, end (each run's last one; the default), or every",
    )
    add("--measures", nargs="+", metavar="METRIC", help="metrics to rank (default: all measures)")
    add(
        "--output",
        type=Path,
        metavar="DIR",
        help="folder for ranking.csv, .tex, .png and .pdf (default: the sweep's; ranking/ here for "
        "several sweeps)",
    )
    add("--tracking-uri", metavar="URI", help="store in which to look up a sweep's folder")


def rank_command(options: argparse.Namespace, console: Console) -> int:
    """Rank, print and write.

    Returns:
        The exit code.

    Raises:
        GsnrError: There is no such sweep, target, epoch or measure, or nothing to compare.
    """
    from gsnr_sweep.analysis.analysis import Analysis
    from gsnr_sweep.report.ranking import print_over_epochs, print_ranking, write_ranking

    asked: Sequence[str | None] = options.sweeps or [None]
    found = [_read(one, options.tracking_uri) for one in asked]
    analysis = Analysis(_together([table for table, _ in found]))
    rankings = _rankings(analysis, options)
    default = found[0][1] if len(found) == 1 else Path("ranking")
    files = write_ranking(rankings, options.output or default, _stem(options))
    if len(rankings) == 1:
        print_ranking(console, rankings[0])
    else:
        print_over_epochs(console, rankings)
    names = ", ".join(path.name for path in files)
    console.print(f"Written to {files[0].parent}: {names}", markup=False, soft_wrap=True)
    return 0


def _rankings(analysis: Analysis, options: argparse.Namespace) -> list[Any]:
    from gsnr_sweep.analysis.ranking import rank_measures
    from gsnr_sweep.analysis.ranking.ranking import epochs_of

    if options.at != EVERY:
        at = None if options.at == math.inf else options.at
        return [rank_measures(analysis, options.target, at, options.measures)]
    rankings, why = [], None
    for epoch in epochs_of(analysis):
        try:
            rankings.append(rank_measures(analysis, options.target, epoch, options.measures))
        except GsnrError as error:  # before training begins, say, there is nothing to predict
            why = error
    if why is not None and not rankings:
        raise why
    return rankings


def _place(text: str) -> float | str:
    if text == EVERY:
        return EVERY
    try:
        return epoch_as_typed(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}; every stands for all") from None


def _stem(options: argparse.Namespace) -> str:
    """Return the files' name, which differs from question to question."""
    from gsnr_sweep.report.files import file_safe

    parts = [options.target or ""]
    if options.at != math.inf:
        parts.append(f"at-{options.at}")
    return file_safe("-".join(["ranking", *filter(None, parts)]))


def _read(wanted: str | None, uri: str | None) -> tuple[SweepTable, Path]:
    """Read a sweep; return it with the folder for what is made of it."""
    from gsnr_sweep.cli.commands.report import read_source

    source = read_source(wanted, Path.cwd(), uri)
    return source.table, source.folder


def _together(tables: Sequence[SweepTable]) -> SweepTable:
    """Return the runs of several sweeps as one table, each run once.

    Raises:
        GsnrError: No run finished.
    """
    from gsnr_sweep.analysis.table import table_of

    kept = {record.config_hash: (run, record) for one in tables for run, record in one.records}
    if not kept:
        names = ", ".join(one.name for one in tables)
        raise GsnrError(f"No run of {names} has finished, so there is nothing to rank yet.")
    first = tables[0]
    name = " + ".join(one.name for one in tables)
    left_out = [run for one in tables for run in one.left_out]
    return table_of(name, None, list(kept.values()), left_out, first.preset, first.launch_folder)
