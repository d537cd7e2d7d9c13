"""Files by their content: digests that follow every change, and names that people write."""

import gzip
import hashlib
import os
from pathlib import Path

import pytest

from gsnr_sweep.data.files import describe_files, file_digest, own_path, unpacked_digest


def test_a_digest_is_of_the_content_and_follows_it(tmp_path: Path) -> None:
    path, copy = tmp_path / "a", tmp_path / "b"
    for time, content in enumerate((b"", b"one", b"two", b"x" * 3_000_000)):
        path.write_bytes(content)
        copy.write_bytes(content)
        for written in (path, copy):
            os.utime(written, ns=(time, time))  # this clock need not have gone on meanwhile
        assert file_digest(path) == file_digest(copy) == hashlib.sha256(content).hexdigest()
        assert file_digest(path, "md5") == hashlib.md5(content).hexdigest()


def test_times_that_are_copied_hide_no_change(tmp_path: Path) -> None:
    """As with ``cp -p`` over a file of the same size."""
    path, other = tmp_path / "a", tmp_path / "b"
    path.write_bytes(b"one")
    other.write_bytes(b"two")
    for written in (path, other):
        os.utime(written, ns=(1, 1))
    before = file_digest(path)
    other.rename(path)
    assert file_digest(path) == hashlib.sha256(b"two").hexdigest() != before


def test_a_missing_file_goes_by_its_name(tmp_path: Path) -> None:
    assert file_digest(tmp_path / "gone") == str(tmp_path / "gone")


def test_what_a_packed_file_holds(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"seven c"))
    assert unpacked_digest(path, "md5") == (hashlib.md5(b"seven c").hexdigest(), 7)
    assert unpacked_digest(path)[0] != file_digest(path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(EOFError):
        unpacked_digest(path)


def test_files_as_records_keep_them(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12")
    digest = hashlib.sha256(b"12").hexdigest()
    assert describe_files([tmp_path / "a"]) == {"a": {"bytes": 2, "sha256": digest}}


def test_names_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert own_path("~/a.npz") == own_path("a.npz") == own_path(str(tmp_path / "a.npz"))
    assert own_path("~nobody-of-this-name/a").name == "a"  # a folder of that name, if any
