"""Processes told apart by what no clock and no host name can change."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from gsnr_sweep.records import processes
from gsnr_sweep.records.processes import SECONDS_UNTIL_SILENT, alive, identify, is_here
from tests.conftest import ROOT
from tests.fakes import gone_pid, gone_process, process_elsewhere


def test_a_process_is_there_until_it_ends() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        other = identify(process.pid)
        assert alive(other, 0.0)
        assert other != identify()
        process.kill()
        deadline = time.monotonic() + 60
        while alive(other, time.time()):  # also while nobody has waited for it
            assert time.monotonic() < deadline
        assert process.returncode is None
    assert not alive(other, time.time())


@pytest.mark.parametrize("step", [-1e6, -2.0, 2.0, 1e6])
def test_no_step_of_the_clock_makes_another_process_of_it(
    step: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start in seconds since 1970 moves with the clock: the kernel counts from the boot."""
    before, now, boot = identify(), time.time, psutil.boot_time()
    monkeypatch.setattr(time, "time", lambda: now() + step)
    monkeypatch.setattr(psutil, "boot_time", lambda: boot + step)
    assert identify() == before
    assert alive(before, 0.0)


def test_the_host_name_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    before = identify()
    monkeypatch.setattr(socket, "gethostname", lambda: "another-name")
    assert identify() == before
    assert alive(before, 0.0)


def test_another_process_with_the_same_number() -> None:
    assert not alive(gone_process(), time.time())
    gone = identify(gone_pid())
    assert is_here(gone)
    assert not alive(gone, time.time())


@pytest.mark.parametrize("text", ["", "x", "/", "//", "a/b", process_elsewhere()])
def test_of_another_place_only_reports_tell(text: str) -> None:
    assert not is_here(text)
    assert alive(text, time.time() - SECONDS_UNTIL_SILENT + 20)
    assert not alive(text, time.time() - SECONDS_UNTIL_SILENT - 1)


def test_a_number_that_is_none_is_no_process() -> None:
    place = identify().rsplit("/", 2)[0]
    for pid in ("self", "-1", "..", "", "1" * 30):
        assert not alive(f"{place}/{pid}/1", time.time())


def test_a_forked_child_is_another_process() -> None:
    reading, writing = os.pipe()
    parent = identify()
    if (child := os.fork()) == 0:
        os.write(writing, f"{identify()}\n{alive(parent, 0.0)}".encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        told, parent_alive = pipe.read().splitlines()
    os.waitpid(child, 0)
    assert told == parent.replace(f"/{os.getpid()}/", f"/{child}/").rpartition("/")[0] + (
        "/" + told.rpartition("/")[2]
    )
    assert parent_alive == "True"


def test_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS: the host's name and what psutil knows."""

    def missing(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_bytes", missing)
    monkeypatch.setattr(Path, "read_text", missing)
    monkeypatch.setattr(Path, "exists", lambda _: False)
    processes._place.cache_clear()
    try:
        own, gone = identify(), identify(gone_pid())
        assert own.startswith(f"{socket.gethostname()}/{os.getpid()}/")
        assert alive(own, 0.0)
        assert not alive(gone, time.time())
    finally:
        processes._place.cache_clear()


LOOK = """
import sys, time
from gsnr_sweep.records.processes import alive, identify, is_here
other = sys.argv[1]
print(is_here(other), alive(other, time.time()), alive(other, 0.0), is_here(identify()))
"""


@pytest.mark.parametrize(("proc", "own"), [(["--mount-proc"], True), ([], False)])
def test_another_container_with_the_same_host_name(proc: list[str], own: bool) -> None:
    """Its process numbers are others: ours mean nothing there, with or without a /proc of its own.

    Run in two halves, so that what the container has of its own stands in the last column.
    """
    if shutil.which("unshare") is None:
        pytest.skip("no unshare here")
    inside = ["unshare", "--pid", "--fork", *proc]
    if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user may not make a PID namespace")
    done = subprocess.run(
        [*inside, sys.executable, "-c", LOOK, identify()],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
        timeout=60,
    )
    assert done.stdout.split() == ["False", "True", "False", str(own)]
