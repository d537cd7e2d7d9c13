"""Files of weights: what they hold is read as it is, and nothing in them is executed."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.records.checkpoint import Checkpoint
from gsnr_sweep.records.weights import read_weights


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).state_dict()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *((name, "safetensors") for name in ("a.safetensors", "no_ending", "other.weights")),
        *((name, "torch") for name in ("a.pt", "a.pth", "no_ending", "other.weights")),
    ],
)
def test_both_formats(tmp_path: Path, state: dict[str, torch.Tensor], name: str, kind: str) -> None:
    path = tmp_path / name
    if kind == "torch":
        torch.save(state, path)
    else:
        save_file(state, path)
    (found,) = read_weights(path)
    assert (found.name, found.kept) == (str(path), False)
    assert found.tensors.keys() == state.keys()
    assert all(torch.equal(found.tensors[key], tensor) for key, tensor in state.items())


def test_each_replica_of_a_run(tmp_path: Path) -> None:
    tensors = {
        f"{m}.{name}": torch.full((2,), m + 0.1, dtype=torch.float64)
        for m in (0, 1, 10)
        for name in ("fc.weight", "buffer.bn.running_mean")
    }
    Checkpoint(3, tensors, "hash", "code", "digest").write(tmp_path, "weights.safetensors")
    torch.manual_seed(1)
    before = torch.get_rng_state()
    found = read_weights(tmp_path / "weights.safetensors")
    assert torch.equal(torch.get_rng_state(), before)
    assert [one.name for one in found] == [
        f"{tmp_path}/weights.safetensors[{m}]" for m in (0, 1, 10)
    ]
    assert all(
        one.kept and one.tensors.keys() == {"fc.weight", "buffer.bn.running_mean"} for one in found
    )
    assert [float(one.tensors["fc.weight"][0]) for one in found] == [0.1, 1.1, 10.1]


def _whole_model(path: Path) -> None:
    torch.save(nn.Linear(3, 2), path)


def _training_state(path: Path) -> None:
    torch.save({"epoch": 3, "state_dict": {}}, path)


def _list(path: Path) -> None:
    torch.save([torch.ones(2)], path)


def _text(path: Path) -> None:
    path.write_text("hello")


@pytest.mark.parametrize(
    ("name", "make", "told"),
    [
        ("a.pt", None, "there is no such file"),
        ("a.pt", Path.mkdir, "this is no file"),
        ("a.pt", _whole_model, "it holds more than tensors, such as a whole model"),
        ("a.pt", _training_state, "(keys: epoch, state_dict). Save the state dict alone"),
        ("a.pt", _list, "it holds an object of type list, not a state dict"),
        ("a.pt", _text, "it holds more than tensors"),
        ("a.pt", Path.touch, "it holds more than tensors"),
        ("a.safetensors", _text, "it cannot be read (SafetensorError"),
        ("a.safetensors", _list, "it cannot be read (SafetensorError"),
    ],
)
def test_what_is_no_file_of_weights(tmp_path: Path, name: str, make, told: str) -> None:
    path = tmp_path / name
    if make is not None:
        make(path)
    with pytest.raises(GsnrError) as raised:
        read_weights(path)
    assert str(raised.value).startswith(f"--weights {path}: ")
    assert told in str(raised.value)
