"""The end of a log."""

from pathlib import Path

from gsnr_sweep.records.logs import last_lines


def test_the_end_of_a_log(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"1\n\n2\n  \n3\xff\n\n")
    assert last_lines(tmp_path / "log", 2) == ["2", "3\ufffd"]
    assert last_lines(tmp_path / "log") == ["1", "2", "3\ufffd"]
    assert last_lines(tmp_path / "gone") == []
