"""Where an attempt begins, told from what earlier ones left on disk."""

from pathlib import Path
from typing import Any

import pytest
import torch

from gsnr_sweep.records.checkpoint import CHECKPOINT_FILE, Checkpoint
from gsnr_sweep.records.record import RECORD_FILE, Measurement
from gsnr_sweep.runs.resume import ResumePoint
from tests.fakes import put_record

IDENTITY, CODE, DIGEST = "feed", "0.1.0+abc", "d1+d2"
DATA = {"train_digest": "d1", "test_digest": "d2"}


def _measured(*epochs: int, value: float = 1.0) -> list[Measurement]:
    return [Measurement(epoch, {"a": value}, [], 1000 + epoch) for epoch in epochs]


def _record(folder: Path, *epochs: int, **fields: Any) -> None:
    known = {"config_hash": IDENTITY, "environment": {"code": CODE}, "data": DATA}
    put_record(folder, **{**known, "measurements": _measured(*epochs), **fields})


def _checkpoint(folder: Path, epoch: int, *epochs: int, **fields: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    known = {"config_hash": IDENTITY, "code": CODE, "data_digest": DIGEST}
    known |= {"measurements": _measured(*epochs), "tensors": {"0.w": torch.ones(1)}}
    Checkpoint(**{"epoch": epoch, **known, **fields}).write(folder)


def _find(folder: Path, other: Path | None = None) -> ResumePoint:
    return ResumePoint.find(folder, other, IDENTITY, [CODE])


def _epochs(beginning: ResumePoint) -> list[int]:
    return [measurement.epoch for measurement in beginning.measurements]


def test_nothing_there(tmp_path: Path) -> None:
    for found in (_find(tmp_path), _find(tmp_path / "gone", tmp_path / "also gone")):
        assert found == ResumePoint()
        assert (found.epoch, found.seconds, found.note) == (0, {}, "")


def test_a_checkpoint_with_its_record(tmp_path: Path) -> None:
    _record(tmp_path, 0, 2)
    _checkpoint(tmp_path, 3, 0, 2, seconds={"wall": 9.0})
    found = _find(tmp_path)
    assert (found.epoch, _epochs(found), found.data_digest) == (3, [0, 2], DIGEST)
    assert found.seconds == {"wall": 9.0}
    assert found.note == ""


def test_a_record_ahead_of_its_checkpoint(tmp_path: Path) -> None:
    _record(tmp_path, 0, 2, 4)
    _checkpoint(tmp_path, 1, 0)
    found = _find(tmp_path)
    assert (found.epoch, _epochs(found)) == (1, [0, 2, 4])


def test_a_checkpoint_without_a_record(tmp_path: Path) -> None:
    _checkpoint(tmp_path, 3, 0, 2)
    assert (_find(tmp_path).epoch, _epochs(_find(tmp_path))) == (3, [0, 2])
    (tmp_path / RECORD_FILE).write_text("{")
    assert (_find(tmp_path).epoch, _epochs(_find(tmp_path))) == (3, [0, 2])


def test_a_record_without_a_checkpoint(tmp_path: Path) -> None:
    _record(tmp_path, 0, 2)
    found = _find(tmp_path)
    assert (found.checkpoint, found.epoch, _epochs(found)) == (None, 0, [0, 2])
    assert found.data_digest == DIGEST


@pytest.mark.parametrize(
    ("fields", "why"),
    [({"config_hash": "beef"}, "the settings changed"), ({"code": "2"}, "the code changed")],
)
def test_a_checkpoint_that_does_not_fit_is_said_to(
    tmp_path: Path, fields: dict[str, Any], why: str
) -> None:
    _checkpoint(tmp_path, 3, 0, 2, **fields)
    found = _find(tmp_path)
    assert (found.checkpoint, found.measurements) == (None, [])
    assert found.note.startswith(why)


@pytest.mark.parametrize(
    "fields", [{"config_hash": "beef"}, {"environment": {"code": "2"}}, {"environment": {}}]
)
def test_a_record_that_does_not_fit_is_left_out(tmp_path: Path, fields: dict[str, Any]) -> None:
    _record(tmp_path, 0, 2, **fields)
    assert _find(tmp_path) == ResumePoint()
    _checkpoint(tmp_path, 1, 0)
    assert _epochs(_find(tmp_path)) == [0]


# --- another folder


def test_an_earlier_launch_counts_where_the_own_folder_has_nothing(tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    _record(other, 0, 2)
    _checkpoint(other, 3, 0, 2)
    assert (_find(own, other).epoch, _epochs(_find(own, other))) == (3, [0, 2])
    _record(own, data={}, measurements=[])  # as a run leaves it that died before it had its data
    assert _find(own, other).epoch == 3
    _checkpoint(own, 5, 0, 2, 4)
    assert (_find(own, other).epoch, _epochs(_find(own, other))) == (5, [0, 2, 4])


def test_an_earlier_launchs_weights_count_where_the_own_folder_has_none(tmp_path: Path) -> None:
    """A run that died after it had taken over measurements, before its first own checkpoint."""
    own, other = tmp_path / "own", tmp_path / "other"
    _record(other, 0, 2)
    _checkpoint(other, 3, 0, 2)
    _record(own, 0, 2, 4)
    found = _find(own, other)
    assert (found.epoch, _epochs(found)) == (3, [0, 2, 4])


def test_an_earlier_launch_counts_where_the_own_checkpoint_does_not_fit(tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    _checkpoint(other, 3, 0, 2)
    _checkpoint(own, 1, 0, code="2")
    assert _find(own, other).epoch == 3


# --- the data


def test_a_beginning_with_other_data_is_none(tmp_path: Path) -> None:
    _checkpoint(tmp_path, 3, 0, 2)
    found = _find(tmp_path)
    assert found.of_data(DIGEST) is found
    fresh = found.of_data("d1+d3")
    assert (fresh.checkpoint, fresh.measurements, fresh.epoch) == (None, [], 0)
    assert fresh.note == "the data are not what they were"


def test_a_fresh_beginning_goes_with_any_data() -> None:
    assert ResumePoint().of_data(DIGEST) == ResumePoint()


def test_measurements_without_weights_are_checked_against_the_data_too(tmp_path: Path) -> None:
    _record(tmp_path, 0, 2)
    assert _find(tmp_path).of_data("other").measurements == []


def test_a_checkpoint_that_is_cut_off_is_none(tmp_path: Path) -> None:
    _checkpoint(tmp_path, 3, 0, 2)
    path = tmp_path / CHECKPOINT_FILE
    path.write_bytes(path.read_bytes()[:-1])
    assert _find(tmp_path) == ResumePoint()
