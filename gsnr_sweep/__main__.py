"""``python -m gsnr_sweep status|collect|report|cancel|logs|sync SWEEP``: a sweep afterwards.

Nothing heavy is imported before it is needed, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gsnr_sweep._startup import leaving_quickly
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.tracking.uri import apply_mlflow_settings

if TYPE_CHECKING:
    from gsnr_sweep.records.manifest import Manifest

DESCRIPTION = """\
Follow, collect or stop a sweep that was launched in this folder, by this or another process.

SWEEP is the sweep's id or the start of it, its name, its folder, or the id of its MLflow run. Left
out, it is the latest sweep launched in this folder.
"""
EPILOG = """\
To aggregate from MLflow alone, without the sweep's folder: python -m gsnr_sweep.aggregate --help
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = _parser().parse_args(argv)
    apply_mlflow_settings()
    try:
        return int(options.act(options))
    except GsnrError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _status(options: argparse.Namespace) -> int:
    from rich.console import Console

    from gsnr_sweep.cli.commands.status import show_status

    show_status(_found(options), Console(), options.watch)
    return 0


def _collect(options: argparse.Namespace) -> int:
    from rich.console import Console

    from gsnr_sweep.cli.commands.collect import collect_command

    return collect_command(_found(options), Console())


def _report(options: argparse.Namespace) -> int:
    from rich.console import Console

    from gsnr_sweep.cli.commands.report import report_command

    return report_command(
        options.sweeps, Path.cwd(), options.tracking_uri, options.output, Console()
    )


def _cancel(options: argparse.Namespace) -> int:
    from rich.console import Console

    from gsnr_sweep.cli.commands.cancel import cancel

    cancel(_found(options), Console(), 0.0 if options.now else options.wait)
    return 0


def _logs(options: argparse.Namespace) -> int:
    from rich.console import Console

    from gsnr_sweep.cli.commands.logs import show_logs

    show_logs(_found(options), Console(), options.run, options.lines)
    return 0


def _sync(options: argparse.Namespace) -> int:
    from rich.console import Console

    from gsnr_sweep.cli.commands.lookup import all_sweeps
    from gsnr_sweep.cli.commands.sync import sync

    sweeps = [_found(options)] if options.sweep else all_sweeps(Path.cwd())
    return sync(sweeps, Console(), None if options.sweep else Path.cwd())


def _found(options: argparse.Namespace) -> Manifest:
    from gsnr_sweep.cli.commands.lookup import find_sweep

    return find_sweep(options.sweep, Path.cwd(), options.tracking_uri)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gsnr_sweep",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, act: object, text: str, several: bool = False) -> argparse.ArgumentParser:
        description = f"{text[0].upper()}{text[1:]}."
        command = commands.add_parser(name, help=text, description=description)
        if several:
            command.add_argument("sweeps", metavar="SWEEP", nargs="*", help="which; the latest")
        else:
            command.add_argument(
                "sweep", metavar="SWEEP", nargs="?", help="which sweep; the latest"
            )
        command.add_argument(
            "--tracking-uri", metavar="URI", help="store in which to look up a sweep's folder"
        )
        command.set_defaults(act=act)
        return command

    status = add("status", _status, "show how far each run is")
    status.add_argument("--watch", action="store_true", help="keep it up to date until the end")
    add("collect", _collect, "write table, figure and coefficients of what is there")
    report = add("report", _report, "write one HTML page on one or more sweeps", several=True)
    report.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="the page (report.html in the sweep's folder; here for several sweeps)",
    )
    cancel = add("cancel", _cancel, "stop all runs after a checkpoint")
    cancel.add_argument("--now", action="store_true", help="end them at once")
    cancel.add_argument(
        "--wait", type=float, default=60.0, metavar="S", help="seconds to wait for checkpoints (60)"
    )
    logs = add("logs", _logs, "show what failed runs and their jobs printed last")
    logs.add_argument("--run", nargs="+", default=[], metavar="RUN", help="runs by number or name")
    logs.add_argument("--lines", type=int, default=20, metavar="N", help="of each log (20)")
    add("sync", _sync, "send to MLflow what it does not have; without SWEEP, of all sweeps here")
    return parser


if __name__ == "__main__":
    with leaving_quickly():
        sys.exit(main())
