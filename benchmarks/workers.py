"""Each contender in a process of its own, so that none finds another's threads or memory."""

from __future__ import annotations

import multiprocessing
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any

_STOP = "stop"


class ContenderError(RuntimeError):
    """A contender cannot do what it was asked for; the text's last line says why."""


class Worker:
    """An object that lives in another process; its methods are called by name."""

    def __init__(self, build: Callable[..., Any], *arguments: object) -> None:
        """Start the process and build the object there.

        Args:
            build: A class or function that can be imported.
            arguments: For `build`.

        Raises:
            ContenderError: It cannot be built.
        """
        context = _context()
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, build, arguments), daemon=True)
        self._process.start()
        other.close()
        try:
            self._answer()
        except ContenderError:
            self.close()
            raise

    def call(self, method: str, *arguments: object) -> Any:
        """Call a method there and return what it returns."""
        return self._ask(method, *arguments)[0]

    def seconds(self, method: str, *arguments: object) -> float:
        """Call a method there and return the seconds that it took."""
        return self._ask(method, *arguments)[1]

    def close(self) -> None:
        """End the process."""
        with suppress(OSError):
            self._connection.send((_STOP, ()))
        self._process.join(5)
        if self._process.is_alive():
            self._process.terminate()
        self._connection.close()

    def _ask(self, method: str, *arguments: object) -> tuple[Any, float]:
        try:
            self._connection.send((method, arguments))
        except OSError:
            raise ContenderError("its process is gone") from None
        return self._answer()

    def _answer(self) -> tuple[Any, float]:
        try:
            result, seconds, problem = self._connection.recv()
        except EOFError:
            self._process.join(5)
            raise ContenderError(f"its process died ({self._process.exitcode})") from None
        if problem:
            raise ContenderError(problem)
        return result, seconds


@contextmanager
def working(build: Callable[..., Any], *arguments: object) -> Iterator[Worker]:
    """Provide a worker for a moment."""
    worker = Worker(build, *arguments)
    try:
        yield worker
    finally:
        worker.close()


def _context() -> Any:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.preload"])
    return context


def _serve(connection: Connection, build: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    warnings.simplefilter("ignore")  # of the peers' libraries
    target: Any = None
    method: str = ""
    while method != _STOP:
        start = time.perf_counter()
        try:
            result = getattr(target, method)(*arguments) if method else None
            target = target if method else build(*arguments)
            connection.send((result, time.perf_counter() - start, ""))
        except Exception as error:
            connection.send((None, 0.0, _reason(error)))
        try:
            method, arguments = connection.recv()
        except EOFError:
            return


def _reason(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()] or [""]
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {lines[0][:200]} ({where.name})"
