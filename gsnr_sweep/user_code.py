"""The boundary to code of the user's: whatever that raises is a mistake of its own.

Models, data, measures, figures and claims are named by dotted path and called through `call`, and
through nothing else. What they raise, ``sys.exit`` and a ``KeyboardInterrupt`` of their own
included, comes out as one kind of error; only the user's own Ctrl-C passes.
"""

from __future__ import annotations

import mmap
import opcode
import sysconfig
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import ParamSpec, TypeVar

from gsnr_sweep.errors import GsnrError, describe_exception, resolve_name
from gsnr_sweep.wording import printable

P = ParamSpec("P")
T = TypeVar("T")

_PACKAGE = str(Path(__file__).parent)
_LIBRARIES = (_PACKAGE, sysconfig.get_path("stdlib"), "<")
_RAISES = opcode.opmap["RAISE_VARARGS"]
_LONGEST = 4096

# What is at work just now, in memory that a process shares with those it forks: another process can
# read it after this one was ended without a word. Beside it all that is at work in this process, by
# several threads in any order, the latest last.
_at_work = mmap.mmap(-1, _LONGEST)
_all_at_work: list[_Work] = []


@dataclass(frozen=True, eq=False)
class _Work:
    where: str


_NOTHING = _Work("")


class UserCodeError(GsnrError):
    """Code of the user's raised something: the text is its kind, its message and its place."""


def call(where: str, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call code of the user's.

    Args:
        where: Key and value that name it.
        function: To be called.
        *args: Its arguments.
        **kwargs: Its arguments by name.

    Raises:
        UserCodeError: It raises anything at all; the exception is the cause.
        KeyboardInterrupt: The user's Ctrl-C came meanwhile.
    """
    with working(where):
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            if isinstance(error, UserCodeError) or is_ctrl_c(error):
                raise
            raise UserCodeError(told(error)) from error


@contextmanager
def working(where: str) -> Iterator[None]:
    """Note that some code is at work, so that `at_work` names it."""
    work = _Work(where)
    _all_at_work.append(work)
    _note_the_latest()
    try:
        yield
    finally:
        _all_at_work.remove(work)
        _note_the_latest()


def as_error(where: str, raised: BaseException) -> BaseException:
    """Return what some work failed of: no code of the user's may end or interrupt the process."""
    if isinstance(raised, Exception) or is_ctrl_c(raised):
        return raised
    error = UserCodeError(f"{where}: it ends the run ({told(raised)}).")
    error.__cause__ = raised
    return error


def load(where: str, path: str, advice: str) -> object:
    """Import what a dotted path names.

    Args:
        where: Key and value that name it.
        path: The dotted path.
        advice: A sentence on what to give instead.

    Raises:
        GsnrError: It cannot be imported.
    """
    try:
        return call(where, resolve_name, path)
    except UserCodeError as error:
        raise GsnrError(f"{where}: it cannot be imported ({error}). {advice}") from error.__cause__


def is_ours(path: str) -> bool:
    """Tell whether a dotted path names something of this package."""
    return path.startswith("gsnr_sweep.")


def told(error: BaseException) -> str:
    """Say what an exception of the user's code says, and where it was raised."""
    if isinstance(error, GsnrError):
        return str(error)
    if isinstance(error, SystemExit):
        said = f"it asks to leave Python: SystemExit {error.code!r}"[:300]
    else:
        said = describe_exception(error)
    place = "" if is_ctrl_c(error) else _place(error.__traceback__)
    return printable(f"{said}, {place}" if place else said)


def at_work() -> str:
    """Name the code that is being called in this process or in one that it forked; else empty."""
    return _at_work[:].split(b"\0", 1)[0].decode(errors="replace")


def is_ctrl_c(error: BaseException) -> bool:
    """Tell a Ctrl-C from a ``KeyboardInterrupt`` that the user's code raises.

    A signal is heard by the main thread alone, and between two instructions: where its handler is
    Python's own, the place of the error is no ``raise`` statement.
    """
    if not isinstance(error, KeyboardInterrupt):
        return False
    if threading.current_thread() is not threading.main_thread():
        return False
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return True
    code = trace.tb_frame.f_code
    return code.co_filename.startswith(_PACKAGE) or code.co_code[trace.tb_lasti] != _RAISES


def _place(trace: TracebackType | None) -> str:
    """Return file and line of the user's code that came last; empty if there is none."""
    place = ""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not file.startswith(_LIBRARIES) and "site-packages" not in file:
            place = f"{Path(file).name} line {trace.tb_lineno}"
        trace = trace.tb_next
    return place


def _note_the_latest() -> None:
    """Note what came last of all that is at work.

    No lock, which a process forked meanwhile would find held: whoever writes looks again.
    """
    while True:
        latest = next(reversed(_all_at_work), _NOTHING)
        noted = latest.where.encode()[: _LONGEST - 1] + b"\0"
        _at_work[: len(noted)] = noted
        if next(reversed(_all_at_work), _NOTHING) is latest:
            return
