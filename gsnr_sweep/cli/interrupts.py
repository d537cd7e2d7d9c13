"""Ctrl-C from a process's first line to its last, without a traceback.

Imports next to nothing, for it comes before all that is imported.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

CODE = 130  # as shells have it for a process that Ctrl-C ended


@contextmanager
def heeding_ctrl_c() -> Iterator[None]:
    """End at once while nothing is at work that would have to be closed; later as `closing` says.

    Raises:
        SystemExit: Ctrl-C came while something was at work.
    """
    _set(_leave)
    try:
        yield
    except KeyboardInterrupt:
        _set(signal.SIG_IGN)
        print("\ngsnr-sweep: stopped.", file=sys.stderr)
        sys.exit(CODE)
    finally:
        if _main() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            _set(_leave)  # while libraries say goodbye


def closing_at_ctrl_c() -> None:
    """From here on raise KeyboardInterrupt, for what is at work has to be closed."""
    if _main() and signal.getsignal(signal.SIGINT) is _leave:
        _set(signal.default_int_handler)


def _leave(*_: object) -> None:
    os.write(2, b"\ngsnr-sweep: stopped.\n")
    os._exit(CODE)


def _set(handler: object) -> None:
    if _main():
        signal.signal(signal.SIGINT, handler)  # type: ignore[arg-type]


def _main() -> bool:
    return threading.current_thread() is threading.main_thread()
