"""Starting a launch in a process of its own, and hearing what became of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from gsnr_sweep.errors import GsnrError, describe_exception
from gsnr_sweep.from_python.child import PREFIX

_SECONDS_BETWEEN_LOOKS = 0.1
_LAST_LINES = 20
_TERMINAL = ("FORCE_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
"""Set by Jupyter's kernel and some editors; a live display would then fill a notebook."""


def launch(arguments: Sequence[str], progress: bool) -> Path:
    """Launch as the command line does and return the folder of the results.

    The process is in a session of its own: a Ctrl-C at the terminal or in a notebook reaches this
    process alone, which passes it on and waits until everything at work is closed. A second one
    stops at once, as on the command line.

    Args:
        arguments: Of the command line.
        progress: Whether to print what the command line prints.

    Raises:
        GsnrError: The launch failed or was refused; with the text of the command line.
        KeyboardInterrupt: Ctrl-C came, and the launch has been closed.
    """
    with TemporaryDirectory(prefix="gsnr-sweep-") as temporary:
        answer, printed = Path(temporary, "answer.json"), Path(temporary, "printed")
        with printed.open("w") as output, printed.open(errors="replace") as shown:
            process = _started([str(answer), *arguments], output)
            interrupted = _follow(process, shown, progress)
        folder, error = _answer(answer, printed, process.returncode)
    if interrupted is not None:
        if error:
            interrupted.add_note(error)
        raise interrupted
    if error:
        partly = f" What there is: gsnr_sweep.load({folder!r})." if folder else ""
        raise GsnrError(f"{error}{partly}")
    if not folder:
        raise GsnrError(
            "dry_run=true only shows the plan, and has no result to return. Type it on the command "
            "line, or leave it out."
        )
    return Path(folder)


def _started(arguments: list[str], output: IO[str]) -> subprocess.Popen[str]:
    # Modules are found where this process finds them; '' is the working folder, which comes last.
    found = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, "-P", "-m", "gsnr_sweep.from_python.child", *arguments]
    try:
        return subprocess.Popen(
            command,
            env={**_environment(), "PYTHONPATH": found},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise GsnrError(
            f"The launch cannot be started ({describe_exception(error)}). Its program is "
            f"{sys.executable or 'not known to Python'}; is the working folder still there?"
        ) from error


def _environment() -> dict[str, str]:
    """Return this process's, without what would have Rich take a file for a terminal."""
    return {name: value for name, value in os.environ.items() if name not in _TERMINAL}


def _follow(
    process: subprocess.Popen[str], shown: IO[str], progress: bool
) -> KeyboardInterrupt | None:
    """Wait for the process; return the Ctrl-C that came meanwhile, if one did."""
    interrupted = None
    while True:
        try:
            ended = _has_ended(process)
            if progress and (text := shown.read()):
                print(text, end="", flush=True)
            if ended:
                return interrupted
        except KeyboardInterrupt as error:
            interrupted = interrupted or error
            process.send_signal(signal.SIGINT)
        except BaseException:
            process.send_signal(signal.SIGINT)
            process.wait()
            raise


def _has_ended(process: subprocess.Popen[str]) -> bool:
    try:
        process.wait(_SECONDS_BETWEEN_LOOKS)
    except subprocess.TimeoutExpired:
        return False
    return True


def _answer(answer: Path, printed: Path, code: int) -> tuple[str, str]:
    """Return the folder of the results and what went wrong, both empty if there is none."""
    try:
        told = json.loads(answer.read_text())
        folder, error = told["folder"], told["error"]
    except (OSError, ValueError, KeyError):
        folder, error = "", ""
    if error or code == 0:
        return folder, error
    said = printed.read_text(errors="replace").strip()
    _, found, last = said.rpartition(PREFIX)
    tail = last if found else "\n".join(said.splitlines()[-_LAST_LINES:])
    return folder, tail or (
        f"The process of the launch ended ({code}) without a word, as too little memory or a crash "
        "in compiled code do. The same call goes on from the last checkpoints."
    )
