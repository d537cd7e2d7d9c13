"""Who wrote a file, and whether that process is still there, whatever the clock says.

A process is known by the boot of its machine, its PID namespace, its number and the clock tick
after the boot at which it started. No two processes share all four, and none of them moves when the
system's clock is set or when two machines, or containers, have one host name. Of a process that
cannot be asked for from here, only what it reports can tell.
"""

from __future__ import annotations

import os
import socket
import time
from functools import cache
from pathlib import Path
from typing import Any

import psutil

SECONDS_UNTIL_SILENT = 90.0
"""A process of another machine, or container, that has not reported for this long is gone."""
UNKNOWN: dict[str, Any] = {"host": "?", "pid": 0, "process": ""}
"""Who wrote a file that does not say so."""
_GONE = "gone"


def identify(pid: int | None = None) -> str:
    """Identify a process among all that there are and were.

    Args:
        pid: Its number; None for this process.

    Returns:
        The identity, for `alive`; empty where processes cannot be told apart.
    """
    number = os.getpid() if pid is None else pid
    where = _place(os.getpid())
    return f"{where}/{number}/{_start(number)}" if where else ""


def is_here(process: str) -> bool:
    """Whether a process can be asked for from here: same boot, same PID namespace."""
    return bool(process) and process.rsplit("/", 2)[0] == _place(os.getpid())


def alive(process: str, heard_of: float) -> bool:
    """Tell whether a process is there.

    Args:
        process: Its identity.
        heard_of: When it reported last, seconds since 1970; for one that is not of this place.
    """
    if not is_here(process):
        return time.time() - heard_of < SECONDS_UNTIL_SILENT
    _, pid, start = process.rsplit("/", 2)
    return start != _GONE and pid.isdecimal() and _start(int(pid)) == start


@cache
def _place(pid: int) -> str:
    """Name where this process's number means this process; a forked child looks anew."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        if str(Path("/proc/self").readlink()) != str(pid):
            return ""  # /proc shows the numbers of another namespace
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


def _start(pid: int) -> str:
    """Return when a process started, as the kernel keeps it."""
    try:
        told = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except FileNotFoundError:
        return _GONE if Path("/proc/self").exists() else _start_without_proc(pid)
    except OSError:
        return _GONE
    state, ticks = told[0], told[19]  # fields 3 and 22 of proc(5)
    return _GONE if state in (b"Z", b"X") else ticks.decode()


def _start_without_proc(pid: int) -> str:
    try:
        process = psutil.Process(pid)
        zombie = process.status() == psutil.STATUS_ZOMBIE
        return _GONE if zombie else repr(process.create_time())
    except psutil.Error:
        return _GONE
