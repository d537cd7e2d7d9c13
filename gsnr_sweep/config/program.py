"""The name under which people start this tool, for what they are told to type."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

INSTALLED = "gsnr-sweep"


def is_installed_command() -> bool:
    """Whether this process is the installed command, not ``launch.py`` of a checkout."""
    return Path(sys.argv[0]).stem == INSTALLED


def launch_program() -> str:
    """What launches runs."""
    return INSTALLED if is_installed_command() else "python launch.py"


def command_program() -> str:
    """What looks after a sweep afterwards."""
    return INSTALLED if is_installed_command() else "python -m gsnr_sweep"


def command_line() -> str:
    """This process's command line, to be typed again."""
    program = [INSTALLED] if is_installed_command() else ["python", sys.argv[0]]
    return shlex.join([*program, *sys.argv[1:]])
