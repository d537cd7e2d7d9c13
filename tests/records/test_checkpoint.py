"""Checkpoint files: whole or the one before, read without executing anything."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors
import safetensors.torch
import torch

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.records.checkpoint import (
    CHECKPOINT_FILE,
    Checkpoint,
    Checkpointer,
    has_checkpoint,
    remove_checkpoint,
)
from gsnr_sweep.records.record import Measurement


def _checkpoint(epoch: int = 3, **fields: Any) -> Checkpoint:
    generator = torch.Generator().manual_seed(epoch)
    tensors = {
        "0.conv.weight": torch.randn(4, 3, 2, 2, dtype=torch.float64, generator=generator),
        "0.buffer.count": torch.tensor(7),
        "1.fc.bias": torch.randn(5, generator=generator),
    }
    known = {
        "config_hash": "feed",
        "code": "0.1.0+abc",
        "data_digest": "d1+d2",
        "seconds": {"wall": 1.5, "compute": 1.0},
        "measurements": [Measurement(0, {"a": 1 / 3, "b": 1e-300}, ["c"], 1234567890123)],
    }
    return Checkpoint(**{"epoch": epoch, "tensors": tensors, **known, **fields})


def _same(one: Checkpoint | None, other: Checkpoint) -> bool:
    assert one is not None
    a, b = dict(vars(one)), dict(vars(other))
    left, right = a.pop("tensors"), b.pop("tensors")
    tensors = left.keys() == right.keys() and all(
        torch.equal(left[name], right[name]) and left[name].dtype == right[name].dtype
        for name in left
    )
    return tensors and a == b


def test_everything_survives_to_the_last_bit(tmp_path: Path) -> None:
    checkpoint = _checkpoint()
    checkpoint.write(tmp_path)
    assert _same(Checkpoint.read(tmp_path), checkpoint)


def test_one_flipped_bit_is_noticed_wherever_it_is(tmp_path: Path) -> None:
    """The format has no checksum of its own: such weights would be gone on from without a word."""
    checkpoint = _checkpoint()
    checkpoint.write(tmp_path)
    path = tmp_path / CHECKPOINT_FILE
    whole = path.read_bytes()
    state = torch.get_rng_state()
    accepted = 0
    for place in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        found = Checkpoint.read(tmp_path)
        assert found is None or _same(found, checkpoint)
        assert torch.equal(torch.get_rng_state(), state)
        accepted += found is not None
    assert accepted < 10  # in the name or the blanks of the header, which say nothing


def test_a_damaged_file_is_set_aside_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _checkpoint().write(tmp_path)
    path = tmp_path / CHECKPOINT_FILE
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert Checkpoint.read(tmp_path) is None
    assert [entry.name for entry in tmp_path.iterdir()] == [f"{CHECKPOINT_FILE}.damaged"]
    assert "checkpoint.safetensors is damaged" in caplog.text
    assert not has_checkpoint(tmp_path)


def test_files_of_earlier_versions_have_no_checksum(tmp_path: Path) -> None:
    checkpoint = _checkpoint()
    checkpoint.write(tmp_path)
    path = tmp_path / CHECKPOINT_FILE
    with safetensors.safe_open(path, framework="pt") as file:
        metadata = {"gsnr_sweep": file.metadata()["gsnr_sweep"]}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    safetensors.torch.save_file(tensors, path, metadata)
    assert _same(Checkpoint.read(tmp_path), checkpoint)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
        torch.randn(3, 5).t(),
        torch.ones(1).expand(4),
        torch.empty(0),
        torch.tensor([float("nan"), float("-inf"), -0.0]),
    ],
    ids=["channels last", "transposed", "expanded", "empty", "odd values"],
)
def test_tensors_of_any_layout(tmp_path: Path, tensor: torch.Tensor) -> None:
    _checkpoint(tensors={"0.w": tensor}).write(tmp_path)
    found = Checkpoint.read(tmp_path)
    assert found is not None
    torch.testing.assert_close(found.tensors["0.w"], tensor, rtol=0, atol=0, equal_nan=True)


def test_tensors_that_share_their_memory(tmp_path: Path) -> None:
    """A user's network may have a buffer that is a part of another."""
    whole = torch.arange(6.0)
    _checkpoint(tensors={"0.whole": whole, "0.part": whole[:3]}).write(tmp_path)
    found = Checkpoint.read(tmp_path)
    assert found is not None
    assert torch.equal(found.tensors["0.part"], whole[:3])


def test_the_file_is_a_header_in_json_and_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing in it is a program: no pickle is written, none is read."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("this would execute what the file says")

    for place, name in (
        (pickle, "loads"),
        (pickle, "load"),
        (pickle, "dumps"),
        (pickle, "dump"),
        (torch, "load"),
        (torch, "save"),
    ):
        monkeypatch.setattr(place, name, refuse)
    _checkpoint().write(tmp_path)
    assert _same(Checkpoint.read(tmp_path), _checkpoint())
    content = (tmp_path / CHECKPOINT_FILE).read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    about = json.loads(header.pop("__metadata__")["gsnr_sweep"])
    assert about["epoch"] == 3
    assert max(entry["data_offsets"][1] for entry in header.values()) == len(content) - 8 - length


# --- whole, or the one before


def _left_over(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name != CHECKPOINT_FILE]


@pytest.mark.parametrize(
    "error",
    [OSError(28, "No space left on device"), safetensors.SafetensorError("I/O error: full")],
    ids=["system", "safetensors"],
)
def test_an_error_in_the_middle_of_writing_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    _checkpoint(3).write(tmp_path)

    def half(_: Any, path: Path, *__: Any) -> None:
        Path(path).write_bytes(b"\x10\x00")
        raise error

    monkeypatch.setattr(safetensors.torch, "save_file", half)
    with pytest.raises(GsnrError, match=f"{CHECKPOINT_FILE} cannot be written"):
        _checkpoint(4).write(tmp_path)
    assert _same(Checkpoint.read(tmp_path), _checkpoint(3))
    assert _left_over(tmp_path) == []


def test_a_process_that_dies_in_the_middle_of_writing_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _checkpoint(3).write(tmp_path)

    class DeathError(BaseException):
        pass

    plain = safetensors.torch.save_file

    def die(tensors: Any, path: Path, metadata: Any) -> None:
        plain(tensors, path, metadata)
        raise DeathError

    monkeypatch.setattr(safetensors.torch, "save_file", die)
    with pytest.raises(DeathError):
        _checkpoint(4).write(tmp_path)
    assert _same(Checkpoint.read(tmp_path), _checkpoint(3))


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(GsnrError, match="cannot be written"):
        _checkpoint().write(tmp_path / "gone")


# --- what is no checkpoint


def _cut(keep: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        path.write_bytes(keep(path.read_bytes()))

    return change


def _foreign(path: Path) -> None:
    safetensors.torch.save_file({"a": torch.ones(2)}, path)


def _with_metadata(text: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        safetensors.torch.save_file({"a": torch.ones(2)}, path, {"gsnr_sweep": text})

    return change


@pytest.mark.parametrize(
    "damage",
    [
        _cut(lambda content: b""),
        _cut(lambda content: content[:5]),
        _cut(lambda content: content[: len(content) // 3]),
        _cut(lambda content: content[:-1]),
        _cut(lambda content: content + b"x"),
        _cut(lambda content: b"garbage" * 100),
        _cut(lambda content: content[:20] + b"\xff" * 20 + content[40:]),
        _cut(pickle.dumps),
        _foreign,
        _with_metadata("no json"),
        _with_metadata('{"schema": 2}'),
        _with_metadata("{}"),
        _with_metadata('{"schema": 1, "epoch": 3}'),
        _with_metadata("[1, 2]"),
    ],
    ids=[
        *("empty", "5 bytes", "a third", "one byte short", "one byte long", "garbage"),
        *("header damaged", "pickle", "foreign", "no json", "later version", "no version"),
        *("half", "list"),
    ],
)
def test_what_cannot_be_read_is_no_checkpoint(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    _checkpoint().write(tmp_path)
    damage(tmp_path / CHECKPOINT_FILE)
    state = torch.get_rng_state()
    assert Checkpoint.read(tmp_path) is None
    assert torch.equal(torch.get_rng_state(), state)


def test_no_file_no_folder_no_checkpoint(tmp_path: Path) -> None:
    assert Checkpoint.read(tmp_path) is None
    assert Checkpoint.read(tmp_path / "gone") is None
    (tmp_path / CHECKPOINT_FILE).mkdir()
    assert Checkpoint.read(tmp_path) is None
    assert not has_checkpoint(tmp_path)


def test_removing_what_may_not_be_there(tmp_path: Path) -> None:
    remove_checkpoint(tmp_path)
    _checkpoint().write(tmp_path)
    assert has_checkpoint(tmp_path)
    remove_checkpoint(tmp_path)
    assert not has_checkpoint(tmp_path)


# --- whether it fits, and when it is due


def test_a_checkpoint_fits_its_own_settings_and_code_only() -> None:
    checkpoint = _checkpoint()
    assert checkpoint.fits("feed", "0.1.0+abc") == ""
    assert (
        checkpoint.fits("beef", "0.1.0+abc") == "the settings changed since (feed then, beef now)"
    )
    told = checkpoint.fits("feed", "0.1.0+def")
    assert told == "the code changed since (0.1.0+abc then, 0.1.0+def now)"


def test_random_numbers_go_on_where_they_were(tmp_path: Path) -> None:
    torch.manual_seed(3)
    torch.rand(5)
    _checkpoint().write(tmp_path)
    expected = torch.rand(4)
    torch.manual_seed(99)
    Checkpoint.read(tmp_path)
    assert torch.equal(torch.rand(4), expected)


@pytest.mark.parametrize(
    ("minutes", "passed", "due"),
    [(None, 1e9, False), (0, 0.0, True), (3, 179.9, False), (3, 180.0, True), (0.5, 30.0, True)],
)
def test_when_the_next_one_is_due(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    minutes: float | None,
    passed: float,
    due: bool,
) -> None:
    now = [1000.0]
    monkeypatch.setattr("gsnr_sweep.records.checkpoint.time.monotonic", lambda: now[0])
    checkpointer = Checkpointer(tmp_path, minutes)
    now[0] += passed
    assert checkpointer.due == due
    checkpointer.write(_checkpoint())
    assert has_checkpoint(tmp_path)
    assert checkpointer.due == (minutes == 0)
