"""``gsnr-sweep``: launches runs, and follows, collects, reports or stops a sweep afterwards.

Nothing heavy is imported before it is needed, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gsnr_sweep._startup import leaving_quickly, loading_quickly
from gsnr_sweep.cli import aggregate
from gsnr_sweep.cli.commands import COMMANDS, measure, rank
from gsnr_sweep.cli.completion import asks_for_completion, completions, without_command
from gsnr_sweep.cli.guard import go_on_guarded
from gsnr_sweep.cli.interrupts import closing_at_ctrl_c, heeding_ctrl_c
from gsnr_sweep.cli.standard_streams import paragraph, prepare_output
from gsnr_sweep.config.location import config_folder
from gsnr_sweep.config.program import command_program
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.tracking.uri import apply_mlflow_settings, tell_store
from gsnr_sweep.wording import did_you_mean

if TYPE_CHECKING:
    from gsnr_sweep.records.manifest import Manifest

DESCRIPTION = """\
Follow, collect or stop a sweep that was launched in this folder, by this or another process.

SWEEP is the sweep's id or the start of it, its name, its folder, or the id of its MLflow run. Left
out, it is the latest sweep launched in this folder.
"""
_WORD = re.compile(r"[a-z][\w-]*")


def gsnr_sweep() -> int:
    """Run the installed command: what its first word says, else a launch as ``launch.py``'s."""
    arguments = sys.argv[1:]
    with leaving_quickly(), heeding_ctrl_c():
        if arguments and _WORD.fullmatch(arguments[0]):
            return _command(arguments)
        if asks_for_completion(arguments) and not _complete(os.environ.get("COMP_LINE", "")):
            return 0
        with loading_quickly():
            from gsnr_sweep.cli.launch import main as launch
        launch(config_folder(), arguments, guarded=True)
        return 0


def _command(arguments: Sequence[str]) -> int:
    """Run a command if there is one of this name."""
    known = list(_commands(_parser()))
    if arguments[0] in known:
        return main(arguments, guarded=True)
    hint = did_you_mean(arguments[0], known) or f"There are: {', '.join(known)}."
    print(f"error: There is no command {arguments[0]!r}. {hint}", file=sys.stderr)
    return 1


def _complete(line: str) -> bool:
    """Print how a line with a command may go on; return whether overrides may follow, too."""
    commands = _commands(_parser())
    words, overrides = completions(line, commands)
    if words:
        print(*words, sep="\n")
    os.environ["COMP_LINE"] = without_command(line, commands)  # where Hydra reads it
    return overrides


def main(argv: Sequence[str] | None = None, *, guarded: bool = False) -> int:
    """Run a command on a sweep.

    Args:
        argv: Command line; None for this process's own.
        guarded: Whether a command that calls code of the user's goes on in a fork of this process,
            so that what ends it without a word is said.

    Returns:
        The exit code.
    """
    prepare_output()
    options = _options(argv)
    if guarded and options.act in _CALL_OWN_CODE:
        go_on_guarded()
    closing_at_ctrl_c()
    apply_mlflow_settings()
    if options.tracking_uri:
        tell_store(options.tracking_uri)
    try:
        return int(options.act(options))
    except GsnrError as error:
        print(f"error: {paragraph(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; overrides of ``measure`` may stand between its options."""
    parser = _parser()
    options, strays = parser.parse_known_args(argv)
    known = hasattr(options, "overrides")
    if wrong := [word for word in strays if not known or word.startswith("-")]:
        parser.error(f"unrecognized arguments: {' '.join(wrong)}")
    if known:
        options.overrides += strays
    return options


def _measure(options: argparse.Namespace) -> int:
    from gsnr_sweep.terminal import TextConsole

    return measure.measure_command(options, TextConsole())


def _status(options: argparse.Namespace) -> int:
    from gsnr_sweep.cli.commands.status import show_status
    from gsnr_sweep.terminal import TextConsole

    show_status(_found(options), TextConsole(), options.watch)
    return 0


def _collect(options: argparse.Namespace) -> int:
    from gsnr_sweep.cli.commands.collect import collect_command
    from gsnr_sweep.terminal import TextConsole

    return collect_command(_found(options), TextConsole())


def _report(options: argparse.Namespace) -> int:
    from gsnr_sweep.cli.commands.report import report_command
    from gsnr_sweep.terminal import TextConsole

    return report_command(
        options.sweeps, Path.cwd(), options.tracking_uri, options.output, TextConsole()
    )


def _rank(options: argparse.Namespace) -> int:
    from gsnr_sweep.terminal import TextConsole

    return rank.rank_command(options, TextConsole())


def _cancel(options: argparse.Namespace) -> int:
    from gsnr_sweep.cli.commands.cancel import cancel
    from gsnr_sweep.terminal import TextConsole

    cancel(_found(options), TextConsole(), 0.0 if options.now else options.wait)
    return 0


def _logs(options: argparse.Namespace) -> int:
    from gsnr_sweep.cli.commands.logs import show_logs
    from gsnr_sweep.terminal import TextConsole

    show_logs(_found(options), TextConsole(), options.run, options.lines)
    return 0


def _sync(options: argparse.Namespace) -> int:
    from gsnr_sweep.cli.commands.lookup import all_sweeps
    from gsnr_sweep.cli.commands.sync import sync
    from gsnr_sweep.terminal import TextConsole

    sweeps = [_found(options)] if options.sweep else all_sweeps(Path.cwd())
    return sync(sweeps, TextConsole(), None if options.sweep else Path.cwd())


def _ui(options: argparse.Namespace) -> int:
    from gsnr_sweep.cli.commands.ui import ui_command
    from gsnr_sweep.terminal import TextConsole

    return ui_command(
        options.sweep,
        Path.cwd(),
        options.tracking_uri,
        TextConsole(),
        options.port,
        not options.no_browser,
    )


_CALL_OWN_CODE = (_measure, _collect, _report, _sync)


def _found(options: argparse.Namespace) -> Manifest:
    from gsnr_sweep.cli.commands.lookup import find_sweep

    return find_sweep(options.sweep, Path.cwd(), options.tracking_uri)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=command_program(),
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, act: object, several: bool = False) -> argparse.ArgumentParser:
        text = COMMANDS[name]
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

    status = add("status", _status)
    status.add_argument("--watch", action="store_true", help="keep it up to date until the end")
    add("collect", _collect)
    report = add("report", _report, several=True)
    report.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="the page (report.html in the sweep's folder; here for several sweeps)",
    )
    ranking = commands.add_parser("rank", help=COMMANDS["rank"], **rank.PARSER)
    rank.add_arguments(ranking)
    ranking.set_defaults(act=_rank)
    ui = add("ui", _ui)
    ui.add_argument("--port", type=int, metavar="PORT", help="where to serve it (a free one)")
    ui.add_argument("--no-browser", action="store_true", help="only print the address")
    again = commands.add_parser("aggregate", help=COMMANDS["aggregate"], **aggregate.PARSER)
    aggregate.add_arguments(again)
    again.set_defaults(act=aggregate.aggregate_command)
    measuring = commands.add_parser("measure", help=COMMANDS["measure"], **measure.PARSER)
    measure.add_arguments(measuring)
    measuring.set_defaults(act=_measure)
    cancel = add("cancel", _cancel)
    cancel.add_argument("--now", action="store_true", help="end them at once")
    cancel.add_argument(
        "--wait", type=float, default=60.0, metavar="S", help="seconds to wait for checkpoints (60)"
    )
    logs = add("logs", _logs)
    logs.add_argument("--run", nargs="+", default=[], metavar="RUN", help="runs by number or name")
    logs.add_argument("--lines", type=int, default=20, metavar="N", help="of each log (20)")
    add("sync", _sync)
    return parser


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    (action,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return dict(action.choices)
