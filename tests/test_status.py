"""Status files: small, whole at any moment, and not written too often."""

import os
import time
from pathlib import Path

import pytest

from gsnr_sweep.status import Status, StatusFile, read_status


def test_a_run_is_seen_from_its_beginning(tmp_path: Path) -> None:
    StatusFile(tmp_path, epochs=7)
    status = read_status(tmp_path)
    assert status is not None
    assert (status.state, status.epoch, status.epochs) == ("preparing", 0, 7)
    assert status.pid == os.getpid()
    assert abs(status.updated - time.time()) < 60


def test_progress_is_written_about_twice_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(0.1 * i for i in range(1, 1000))
    monkeypatch.setattr("gsnr_sweep.status.time.time", lambda: next(clock))
    writes: list[int] = []
    file = StatusFile(tmp_path, epochs=100)
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
    file = StatusFile(tmp_path, epochs=3)
    file.status = Status("failed", 2, 3, 0.0, "a1b2", "why", "there", 42)
    file.write()
    assert read_status(tmp_path) == file.status
