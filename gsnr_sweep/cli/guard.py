"""A process that waits for the one in which code of the user's is called, and says how that ended.

``os._exit``, a crash in a compiled extension and the kernel's answer to short memory end a process
without a word. Where a launch or a command calls code of the user's, it goes on in a fork of
itself, made before anything large is loaded (a few milliseconds); a launch without such code has no
second process.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

from gsnr_sweep.cli.interrupts import CODE as STOPPED
from gsnr_sweep.cli.parent import end_with_parent
from gsnr_sweep.user_code import at_work

_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_BY_THE_TERMINAL = 0x80  # SI_KERNEL: sent to the whole group, to the other process, too


def go_on_guarded() -> None:
    """Go on in a fork of this process; this one waits for it and passes signals on.

    Where the system lacks what that takes (it is there on Linux), or where other threads are at
    work, the process goes on alone.
    """
    if not hasattr(signal, "sigwaitinfo") or threading.active_count() > 1:
        return
    sys.stdout.flush()
    sys.stderr.flush()
    guard = os.getpid()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (*_PASSED_ON, signal.SIGCHLD))
    child = os.fork()
    if child == 0:
        end_with_parent(guard, signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return
    os._exit(_told(_exit_code(child)))


def _exit_code(child: int) -> int:
    """Wait for a process and pass on what this one is sent."""
    while True:
        heard = signal.sigwaitinfo((*_PASSED_ON, signal.SIGCHLD))
        if heard.si_signo != signal.SIGCHLD:
            if heard.si_code != _BY_THE_TERMINAL:
                os.kill(child, heard.si_signo)
            continue
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)


def _told(code: int) -> int:
    """Say how the process ended, if it was within code of the user's; return the exit code."""
    where = at_work()
    if not where or code == STOPPED or -code in _PASSED_ON:
        return code if code >= 0 else 128 - code
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    print(
        f"gsnr-sweep: {where}: it ended the whole process ({how}), as os._exit, a crash in "
        "compiled code or too little memory do. Mend that code: python -X faulthandler shows where "
        "it crashes.",
        file=sys.stderr,
        flush=True,
    )
    return 1
