"""``gsnr-sweep aggregate SWEEP``: any sweep or experiment again, from the tracking store alone.

Nothing heavy is imported before it is needed, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gsnr_sweep.analysis.analysis import DEFAULT_X, DEFAULT_Y
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.tracking.query import readable_store_errors
from gsnr_sweep.tracking.uri import (
    apply_mlflow_settings,
    missing_file,
    store_uri,
    tell_store,
)
from gsnr_sweep.wording import Step

if TYPE_CHECKING:
    from mlflow import MlflowClient

DESCRIPTION = """\
Gather the runs of a sweep into one table, draw both sides of eq. (19) of Liu et al. 2020 against
each other at every measured epoch (the paper's Fig. 4), and print and save how well they agree.

SWEEP is the name of a sweep as the tracking UI shows it, its run id or the unique start of it, or
the name of an experiment, which stands for all its runs.
"""
EPILOG = """\
examples:
  %(prog)s "digits sweep 2026-11-20 23:15"
  %(prog)s 1a2b3c4d --epochs 20 100 500 2500 --error-bars
  %(prog)s 1a2b3c4d --x gsnr_mean --y gen_gap --hue p_random
"""
PARSER: dict[str, Any] = {
    "description": DESCRIPTION,
    "epilog": EPILOG,
    "formatter_class": argparse.RawDescriptionHelpFormatter,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m gsnr_sweep.aggregate`` and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m gsnr_sweep.aggregate", **PARSER)
    add_arguments(parser)
    options = parser.parse_args(argv)
    apply_mlflow_settings()
    if options.tracking_uri:
        tell_store(options.tracking_uri)
    try:
        return aggregate_command(options)
    except GsnrError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def aggregate_command(options: argparse.Namespace) -> int:
    """Aggregate the sweep that the options name and return the exit code.

    Raises:
        GsnrError: There is no such sweep, or it cannot be read, drawn or written.
    """
    from gsnr_sweep.report.pipeline import aggregate

    result = aggregate(
        _client(options.tracking_uri),
        options.sweep,
        options.output,
        x=options.x,
        y=options.y,
        hue=options.hue,
        style=options.style,
        epochs=options.epochs,
        error_bars=options.error_bars,
        log=options.log,
    )
    return 1 if result.log_problem else 0


def epoch_as_typed(text: str) -> float:
    """Read an epoch as it is typed."""
    if text == "end":
        return math.inf
    if match := re.fullmatch(r"step[: ](\d{1,18})", text):
        return Step(int(match[1]), 0.0)
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no epoch: give a number such as 20 or 0.5, step:5, or end"
        ) from None
    return int(value) if value.is_integer() else value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command line takes."""
    add = parser.add_argument
    add("sweep", metavar="SWEEP", help="name or run id of a sweep, or name of an experiment")
    add(
        "--tracking-uri",
        metavar="URI",
        help="where the runs are tracked (default: $MLFLOW_TRACKING_URI, else mlflow.db here)",
    )
    add(
        "--output",
        type=Path,
        metavar="DIR",
        help="folder for the files (default: aggregate/<name of the sweep>)",
    )
    add("--x", default=DEFAULT_X, metavar="METRIC", help="abscissa (default: %(default)s)")
    add("--y", default=DEFAULT_Y, metavar="METRIC", help="ordinate (default: %(default)s)")
    add("--hue", metavar="SETTING", help="shown by colour (default: by what was swept)")
    add("--style", metavar="SETTING", help="shown by marker (default: by what was swept)")
    add(
        "--epochs",
        type=epoch_as_typed,
        nargs="+",
        metavar="EPOCH",
        help="epochs to draw, such as 20, 0.5, step:5 or end (default: all, or of more than 16 an "
        "even choice)",
    )
    add("--error-bars", action="store_true", help="draw one standard error around each point")
    add(
        "--no-log",
        dest="log",
        action="store_false",
        help="do not add the results to the sweep's run in the tracking store",
    )


def _client(uri: str | None) -> MlflowClient:
    """Connect to the tracking store, which has to exist: none is made here."""
    uri = store_uri(uri, Path.cwd())
    _check_store_exists(uri)
    from gsnr_sweep.tracking.store import connect

    with readable_store_errors(uri):
        return connect(uri)


def _check_store_exists(uri: str) -> None:
    """Refuse a SQLite file that is not there, for MLflow would silently make an empty one.

    Raises:
        GsnrError: The file is missing.
    """
    if path := missing_file(uri):
        raise GsnrError(
            f"There is no tracking store {path}. Start this in the folder where the sweep was "
            "launched, or say where its runs are tracked: --tracking-uri URI, or the environment "
            "variable MLFLOW_TRACKING_URI."
        )
