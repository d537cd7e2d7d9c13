"""Status files: small, whole at any moment, and not written too often, nor too seldom."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gsnr_sweep.records import status as status_module
from gsnr_sweep.records.processes import identify
from gsnr_sweep.records.state import State
from gsnr_sweep.records.status import Status, StatusFile, read_status
from tests.fakes import process_elsewhere


def test_a_run_is_seen_from_its_beginning(tmp_path: Path) -> None:
    StatusFile(tmp_path, Status(epochs=7))
    status = read_status(tmp_path)
    assert status is not None
    assert (status.state, status.epoch, status.epochs) == ("preparing", 0, 7)
    assert status.pid == os.getpid()
    assert abs(status.updated - time.time()) < 60


def test_progress_is_written_about_twice_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(0.1 * i for i in range(1, 1000))
    monkeypatch.setattr("gsnr_sweep.records.status.time.time", lambda: next(clock))
    writes: list[int] = []
    file = StatusFile(tmp_path, Status(epochs=100))
    plain = StatusFile.write
    monkeypatch.setattr(
        StatusFile, "write", lambda self: (writes.append(self.status.epoch), plain(self))
    )
    for epoch in range(1, 41):
        file.reached(epoch)
    assert 4 <= len(writes) <= 10  # 40 reports over 4 to 5 seconds
    status = read_status(tmp_path)
    assert status is not None
    assert (status.state, status.epoch) == ("running", writes[-1])


@pytest.mark.parametrize("content", [None, "", '{"state": "run', '{"other": 1}'])
def test_what_cannot_be_read_is_no_status(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "status.json").write_text(content)
    assert read_status(tmp_path) is None


def test_all_fields_survive(tmp_path: Path) -> None:
    file = StatusFile(tmp_path, Status(epochs=3))
    file.status = Status(
        *("failed", 2, 3, 0.0, "a1b2", "why", "there", 42, "a/b/1/2", 2.5, 1, 4),
        *("name", "feed", "0.1"),
        *("experiment", True, True),
    )
    file.write()
    assert read_status(tmp_path) == file.status


def test_a_long_epoch_is_told_from_a_dead_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_module, "_SECONDS_BETWEEN_HEARTBEATS", 0.02)
    file = StatusFile(tmp_path, Status(state=State.RUNNING, epoch=3))
    before = file.status.updated
    with file.heartbeat():
        deadline = time.monotonic() + 60
        while file.status.updated == before:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    status = read_status(tmp_path)
    assert status is not None
    assert (status.updated > before, status.epoch) == (True, 3)


def test_a_run_lives_as_long_as_its_process() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        here = Status(State.RUNNING, process=identify(process.pid))
        assert here.alive
        process.kill()
    assert not here.alive
    assert not Status(State.FINISHED).alive


def test_a_run_elsewhere_lives_as_long_as_it_reports() -> None:
    here = {"process": process_elsewhere()}
    assert Status(State.RUNNING, updated=time.time(), **here).alive
    assert not Status(State.RUNNING, updated=time.time() - 3600, **here).alive
