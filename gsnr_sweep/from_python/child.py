"""The process of a launch from Python: ``python -m gsnr_sweep.from_python.child ANSWER ARGUMENTS``.

A launch sets Hydra's state, logging, signal handlers, environment and module path of its process.
Here that is a process of its own, so that a notebook or script stays as it was, whatever happens.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from gsnr_sweep._startup import leaving_quickly, loading_quickly
from gsnr_sweep.cli.interrupts import heeding_ctrl_c
from gsnr_sweep.cli.parent import end_with_parent
from gsnr_sweep.config.program import INSTALLED
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.records.told import on_results

PREFIX = f"{INSTALLED}: "


def main(answer: Path, arguments: list[str]) -> int:
    """Launch, and write down where the results lie and what went wrong.

    Args:
        answer: A file that gets a JSON object: ``folder`` of the results and ``error``, both empty
            if there is none.
        arguments: Of the command line.

    Returns:
        The exit code.
    """
    told: dict[str, Any] = {"folder": "", "error": ""}
    on_results.set(lambda folder: told.update(folder=str(folder.absolute())))
    sys.argv = [INSTALLED, *arguments]  # what is written down as the command to type again
    code: object = 0
    try:
        _launch(arguments)
    except SystemExit as ended:
        code = ended.code
    except GsnrError as error:
        code = str(error)
    if isinstance(code, str):
        told["error"] = code.removeprefix(PREFIX)
    answer.write_text(json.dumps(told))
    return code if isinstance(code, int) else int(code is not None)


def _launch(arguments: list[str]) -> None:
    with loading_quickly():
        from gsnr_sweep.cli.launch import main as launch
        from gsnr_sweep.config.grid import CommandLine
        from gsnr_sweep.config.location import config_folder
    command = CommandLine.parse(arguments, config_folder())
    if command.informative:
        raise GsnrError(
            f"{' '.join(arguments)}: an option that only prints something has no result. Type it "
            f"on the command line: {INSTALLED} --help."
        )
    if command.multirun and "-m" not in arguments:
        raise GsnrError("hydra.mode=MULTIRUN makes a sweep: call gsnr_sweep.sweep.")
    launch(config_folder(), arguments, guarded=True)


if __name__ == "__main__":
    with leaving_quickly(), heeding_ctrl_c():
        end_with_parent(os.getppid(), signal.SIGINT)
        sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
