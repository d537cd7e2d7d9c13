"""Records on disk: complete, readable at any moment, and free of what JSON cannot hold."""

import json
import math
import threading
import time
from pathlib import Path

import pytest

from gsnr_sweep.records.atomic import write_atomically
from gsnr_sweep.records.record import Measurement, RunRecord, flatten


def _record(**changes: object) -> RunRecord:
    record = RunRecord(
        name="n=30 ch=6 p=0.0",
        config={"n": 30, "data": {"name": "digits", "mean": [0.1]}},
        config_hash="0123456789abcdef",
        environment={"host": "here"},
        summary={"wall_time_s": 1.5},
        measurements=[Measurement(0, {"osgr_lhs": 0.5}), Measurement(2, {}, ["osgr_lhs"], 1234)],
    )
    for key, value in changes.items():
        setattr(record, key, value)
    return record


def test_a_record_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    record = _record(state="finished", started="2026-01-01T00:00:00+00:00")
    path = record.write(tmp_path)
    assert path == tmp_path / "record.json"
    assert RunRecord.read(path) == record
    assert [p.name for p in tmp_path.iterdir()] == ["record.json"]


def test_numbers_keep_all_their_digits(tmp_path: Path) -> None:
    values = {"third": 1 / 3, "tiny": 5e-324, "negative": -1.7976931348623157e308}
    read = RunRecord.read(_record(measurements=[Measurement(1, values)]).write(tmp_path))
    assert read.measurements[0].metrics == values


def test_values_that_are_not_finite_are_named_instead() -> None:
    found = Measurement.from_values(
        3, {"b": math.nan, "fine": 1.0, "a": math.inf, "c": -math.inf, "zero": 0.0}
    )
    assert found == Measurement(3, {"fine": 1.0, "zero": 0.0}, ["a", "b", "c"], found.time_ms)
    assert abs(found.time_ms / 1000 - time.time()) < 60


def test_lists_are_kept_apart_from_metrics() -> None:
    values = {"metric": 1.0, "list": [0.5, math.nan, -math.inf, 2], "empty": [], "bad": math.nan}
    found = Measurement.from_values(3, values)
    assert found.metrics == {"metric": 1.0}
    assert found.nonfinite == ["bad"]
    assert found.arrays == {"list": [0.5, None, None, 2], "empty": []}


def test_lists_are_read_back_digit_by_digit(tmp_path: Path) -> None:
    arrays = {"gsnr/fc2.weight": [1 / 3, None, 5e-324]}
    record = _record(measurements=[Measurement(1, {"a": 1.0}, arrays=arrays)])
    assert RunRecord.read(record.write(tmp_path)) == record


def test_a_record_from_before_there_were_lists(tmp_path: Path) -> None:
    path = _record().write(tmp_path)
    content = json.loads(path.read_text())
    for measurement in content["measurements"]:
        del measurement["arrays"]
    path.write_text(json.dumps(content))
    assert RunRecord.read(path) == _record()


def test_a_file_never_holds_what_json_does_not(tmp_path: Path) -> None:
    _record().write(tmp_path)
    with pytest.raises(ValueError, match="JSON"):
        _record(summary={"wall_time_s": math.nan}).write(tmp_path)
    assert RunRecord.read(tmp_path / "record.json") == _record()


@pytest.mark.parametrize(
    "content", ["[]", "3", "{}", json.dumps({"schema": 0}), json.dumps({"schema": 99})]
)
def test_other_files_are_refused_by_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / "record.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"record\.json is not a run record of schema 1"):
        RunRecord.read(path)


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    texts = ["a" * 200_000, "b" * 300_000]
    write_atomically(path, texts[0])
    stop = threading.Event()

    def keep_writing() -> None:
        while not stop.is_set():
            for text in texts:
                write_atomically(path, text)

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        seen = {path.read_text() for _ in range(300)}
    finally:
        stop.set()
        writer.join()
    assert seen <= set(texts)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_flattening() -> None:
    nested = {"n": 1, "data": {"name": "x", "deep": {"mean": [1, 2]}}, "args": {}, "none": None}
    assert flatten(nested) == {
        "n": 1,
        "data.name": "x",
        "data.deep.mean": [1, 2],
        "args": {},
        "none": None,
    }
