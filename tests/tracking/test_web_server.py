"""MLflow's interface as a process of its own: it answers or says why not, and leaves nothing."""

import contextlib
import os
import shlex
import socket
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import pytest

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.tracking import web_server
from gsnr_sweep.tracking.web_server import serving

STAND_IN = """
import os, subprocess, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.environ["MLFLOW_BACKEND_STORE_URI"].encode())

child = subprocess.Popen(["sleep", "100"])
Path("pids").write_text(f"{os.getpid()} {child.pid} {' '.join(sys.argv)}")
HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Answer).serve_forever()
"""
FAILING = "print('too \\x1b[31mold: postgresql://ann:secret@h/db'); raise SystemExit(3)"


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program in the place of MLflow's server; starting that takes ten seconds."""
    script = tmp_path / "server.py"
    script.write_text(STAND_IN)
    program = tmp_path / "python"
    real = shlex.quote(sys.executable)
    program.write_text(f'#!/bin/sh\nexec {real} {shlex.quote(str(script))} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setattr(web_server.sys, "executable", str(program))
    return script


def is_gone(pid: int) -> bool:
    for _ in range(100):
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def test_it_serves_the_store_and_ends_with_all_its_processes(
    stand_in: Path, tmp_path: Path
) -> None:
    uri = "postgresql://ann:secret@host/db"
    with contextlib.suppress(KeyboardInterrupt), serving(uri, tmp_path) as server:
        with urlopen(server.address) as answer:
            assert answer.read().decode() == uri
        raise KeyboardInterrupt
    own, child, *arguments = (tmp_path / "pids").read_text().split()
    assert is_gone(int(own))
    assert is_gone(int(child))
    assert arguments[arguments.index("--host") + 1] == "127.0.0.1"
    assert arguments[arguments.index("--artifacts-destination") + 1] == str(
        tmp_path / "mlartifacts"
    )
    assert "secret" not in " ".join(arguments)


def test_it_says_why_it_does_not_come_up(stand_in: Path, tmp_path: Path) -> None:
    stand_in.write_text(FAILING)
    with pytest.raises(GsnrError) as refusal, serving("sqlite:///x.db", tmp_path):
        pass
    told = str(refusal.value)
    assert "ended with exit code 3" in told
    assert "too [31mold: postgresql://***@h/db" in told


def test_it_says_that_it_ended_by_itself(stand_in: Path, tmp_path: Path) -> None:
    with serving("sqlite:///x.db", tmp_path) as server:
        os.kill(int((tmp_path / "pids").read_text().split()[0]), 15)
        with pytest.raises(GsnrError, match="ended with exit code -15"):
            server.wait()


def test_one_that_never_answers(
    stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in.write_text("import time; print('thinking', flush=True); time.sleep(100)")
    monkeypatch.setattr(web_server, "_SECONDS_TO_START", 1.0)
    told = "did not answer within 1 seconds"
    with pytest.raises(GsnrError, match=told), serving("sqlite:///x.db", tmp_path):
        pass


def test_the_port_that_was_asked_for(stand_in: Path, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        for port, told in (
            (taken, f"--port={taken} cannot be used: another program"),
            (0, "--port=0 is no port. Allowed: 1 to 65535"),
            (70000, "--port=70000 is no port"),
        ):
            with pytest.raises(GsnrError, match=told), serving("sqlite:///x.db", tmp_path, port):
                pass
        assert not (tmp_path / "pids").exists()
    with serving("sqlite:///x.db", tmp_path, taken) as server:
        assert server.address == f"http://127.0.0.1:{taken}"


def test_another_port_where_the_usual_one_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        monkeypatch.setattr(web_server, "_USUAL_PORT", other.getsockname()[1])
        assert web_server._free_port() != other.getsockname()[1]
    assert web_server._free_port() == web_server._USUAL_PORT
