"""MLflow's web interface on a store that has no server: a process of its own while it is needed."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.records.logs import last_lines
from gsnr_sweep.tracking.store import ARTIFACTS
from gsnr_sweep.tracking.uri import without_password
from gsnr_sweep.wording import printable

_HOST = "127.0.0.1"
_USUAL_PORT = 5000
_SECONDS_TO_START = 120.0
_SECONDS_TO_END = 10.0
_SECONDS_BETWEEN_LOOKS = 0.2
_TOLD_LINES = 5


class WebServer:
    """A server that answers.

    Attributes:
        address: Where.
    """

    def __init__(self, process: subprocess.Popen[bytes], address: str, log: Path) -> None:
        """Take over a server that was started."""
        self.address = address
        self._process, self._log = process, log

    def wait(self) -> None:
        """Wait until it ends.

        Raises:
            GsnrError: It has ended.
        """
        code = self._process.wait()
        raise GsnrError(
            f"The server of MLflow's web interface ended with exit code {code}:{self._last_lines()}"
        )

    def _answer(self) -> None:
        """Wait until it answers.

        Raises:
            GsnrError: It ended, or does not answer in time.
        """
        ask = build_opener(ProxyHandler({})).open
        deadline = time.monotonic() + _SECONDS_TO_START
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                self.wait()
            with contextlib.suppress(URLError, OSError), ask(f"{self.address}/health", timeout=5):
                return
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        raise GsnrError(
            f"The server of MLflow's web interface did not answer within {_SECONDS_TO_START:.0f} "
            f"seconds. Try again when the machine has less to do.{self._last_lines()}"
        )

    def _end(self) -> None:
        """End it and all that it started."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_SECONDS_TO_END)
                return

    def _last_lines(self) -> str:
        lines = last_lines(self._log, _TOLD_LINES)
        return "".join(f"\n  {without_password(printable(line))}" for line in lines)


@contextmanager
def serving(uri: str, folder: Path, port: int | None = None) -> Iterator[WebServer]:
    """Serve MLflow's web interface to this machine alone.

    Args:
        uri: The store; may hold a password, so that it is not told on the command line.
        folder: Where artifacts are that a server kept.
        port: Where to listen; None for MLflow's usual one, or another that is free.

    Raises:
        GsnrError: The port is taken, or the server does not come up.
    """
    port = _free_port() if port is None else _checked(port)
    with TemporaryDirectory() as temporary, (log := Path(temporary, "log")).open("wb") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "mlflow", "ui", "--workers", "1"),
                *("--host", _HOST, "--port", str(port)),
                *("--artifacts-destination", str(folder / ARTIFACTS)),
            ],
            cwd=folder,
            env={
                **os.environ,
                "MLFLOW_BACKEND_STORE_URI": uri,
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is ours; the server is ended with all its processes
        )
        server = WebServer(process, f"http://{_HOST}:{port}", log)
        try:
            server._answer()
            yield server
        finally:
            server._end()


def _is_free(port: int) -> bool:
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((_HOST, port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    if _is_free(_USUAL_PORT):
        return _USUAL_PORT
    with socket.socket() as one:
        one.bind((_HOST, 0))
        return int(one.getsockname()[1])


def _checked(port: int) -> int:
    if not 1 <= port <= 65535:
        raise GsnrError(f"--port={port} is no port. Allowed: 1 to 65535.")
    if not _is_free(port):
        raise GsnrError(
            f"--port={port} cannot be used: another program listens there, or it takes rights that "
            "this user has not. Name another one, or leave --port out for a free one."
        )
    return port
