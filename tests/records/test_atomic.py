from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.records.atomic import PRIVATE, replace_file, write_atomically


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_permissions_of_the_old_file_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    for mode in (0o600, 0o640, 0o666):
        path.chmod(mode)
        write_atomically(path, f"{mode}")
        assert (path.read_text(), _mode(path)) == (f"{mode}", mode)


def test_a_new_file_has_what_the_umask_leaves(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "file", "new")
    finally:
        os.umask(before)
    assert _mode(tmp_path / "file") == 0o640


def test_a_private_file_is_private_whatever_it_was_before(tmp_path: Path) -> None:
    seen = []

    def write(temporary: Path) -> None:
        seen.append(_mode(temporary))  # while it is being written, too
        temporary.write_bytes(b"secret")

    path = tmp_path / "file"
    before = os.umask(0)
    try:
        replace_file(path, write, PRIVATE)
        path.chmod(0o664)
        replace_file(path, write, PRIVATE)
    finally:
        os.umask(before)
    assert _mode(path) == 0o600
    assert seen == [0o600, 0o600]


def test_a_link_stays_and_leads_to_the_new_content(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    write_atomically(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    (dangling := tmp_path / "dangling").symlink_to(tmp_path / "elsewhere" / "missing")
    write_atomically(dangling, "made")
    assert (tmp_path / "elsewhere" / "missing").read_text() == "made"


def _folder(path: Path) -> None:
    path.mkdir()


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _loop(path: Path) -> None:
    path.symlink_to(path)


def _device(path: Path) -> None:
    path.symlink_to(os.devnull)


@pytest.mark.parametrize(
    ("make", "kind"),
    [(_folder, "a folder"), (_pipe, "a pipe"), (_loop, "a link"), (_device, "a device")],
)
def test_only_ordinary_files_are_replaced(tmp_path: Path, make: object, kind: str) -> None:
    path = tmp_path / "it"
    make(path)  # type: ignore[operator]
    before = path.lstat()
    with pytest.raises(GsnrError, match=f"cannot be written: it is {kind}"):
        write_atomically(path, "text")
    assert path.lstat() == before
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)
    assert [p.name for p in tmp_path.iterdir()] == ["it"]


def test_the_temporary_name_cannot_be_guessed_and_has_the_ending(tmp_path: Path) -> None:
    names = []
    for _ in range(2):
        replace_file(tmp_path / "table.csv", lambda path: names.append(path.name))
    assert names[0] != names[1]
    assert all(name.endswith(".csv") for name in names)


def test_it_is_on_the_disk_before_it_takes_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    order: list[str] = []
    fsync = os.fsync

    def flushed(descriptor: int) -> None:
        order.append(f"flushed while {path.read_text()}: {os.fstat(descriptor).st_size} bytes")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", flushed)
    write_atomically(path, "newer")
    assert order == ["flushed while old: 5 bytes"]


def test_nothing_is_left_of_what_could_not_be_written(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def full(temporary: Path) -> None:
        temporary.write_text("half")
        raise OSError(28, "No space left on device")

    def interrupted(temporary: Path) -> None:
        temporary.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(GsnrError, match="No space left on device"):
        replace_file(path, full)
    with pytest.raises(KeyboardInterrupt):
        replace_file(path, interrupted)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
