"""``gsnr-sweep measure``: a table, a file of values, and one paragraph for a mistake."""

import json
import re
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from gsnr_sweep.cli.main import main
from gsnr_sweep.records.weights import read_weights
from gsnr_sweep.runs.weights import measure_weights
from tests.conftest import tiny_config

MODULE = """
from torch import nn


class Net(nn.Sequential):
    def __init__(self, ch, n_outputs, depth=1):
        inner = [layer for _ in range(depth - 1) for layer in (nn.Linear(ch, ch), nn.ReLU())]
        super().__init__(nn.Linear(2, ch), nn.ReLU(), *inner, nn.Linear(ch, n_outputs))
"""
DATA = ("data=toy", "n=20", "n_test=30", "ch=4")
NET = ("--model", "nets_to_measure.Net")


def _save(path: Path, seed: int, ch: int = 4) -> None:
    torch.manual_seed(seed)
    state = nn.Sequential(nn.Linear(2, ch), nn.ReLU(), nn.Linear(ch, 1)).state_dict()
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a model of the user's own and two files of its weights."""
    import sys

    monkeypatch.setattr(sys, "path", list(sys.path))
    (folder / "nets_to_measure.py").write_text(MODULE)
    _save(folder / "a.safetensors", 1)
    _save(folder / "b.pt", 2)
    yield folder
    sys.modules.pop("nets_to_measure", None)


def _files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"__pycache__"}


def test_each_file_becomes_an_object_of_values(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _files(here)
    given = ["measure", *NET, DATA[0], "--weights", "a.safetensors,b.pt", *DATA[1:]]
    assert main([*given, "--output", "values.json", "lr=0.1"]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert _files(here) == before | {"values.json"}
    values = json.loads((here / "values.json").read_text())
    assert list(values) == ["a.safetensors", "b.pt"]
    own = ("model=custom", "model._target_=nets_to_measure.Net", *DATA, "lr=0.1")
    cfg = tiny_config(*own, "n_sets=1", "epochs=0", "measure_at=[0]")
    weights = [one for name in values for one in read_weights(Path(name))]
    for name, measurement in measure_weights(cfg, weights):
        expected = measurement.metrics | dict.fromkeys(measurement.nonfinite)
        assert values[name] == expected | measurement.arrays
        assert values[name]["osgr_lhs_se"] is None
        assert f"{values[name]['osgr_rhs']:.4g}" in told.out
    said = " ".join(told.out.split())
    assert "one training set (M = 1): osgr_diff_se, osgr_lhs_se, osgr_own_lhs_epoch_se, " in said


def test_without_output_nothing_is_written(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = _files(here)
    assert main(["measure", *NET, "--weights", "a.safetensors", *DATA]) == 0
    assert "osgr_rhs" in capsys.readouterr().out
    assert _files(here) == before


def test_chosen_measures_and_lists(here: Path) -> None:
    paths = ["~measures.functions.losses", "measures.parameters=[2.weight]"]
    line = ["measure", *NET, "--weights", "b.pt", "--weights", "b.pt", *DATA, *paths]
    assert main([*line, "--output", "v.json"]) == 0
    (values,) = json.loads((here / "v.json").read_text()).values()
    assert "train_loss" not in values
    assert "osgr_lhs" in values


def test_why_a_network_lacks_a_measure(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(OrderedDict(fc1=nn.Linear(784, 4), fc2=nn.Linear(4, 10)))
    torch.save(net.state_dict(), here / "untrained.pt")
    small = ("measures=neyshabur", "measures.max_sharpness_steps=2", "measures.sharpness_draws=2")
    line = ["measure", "--model", "mlp", "--weights", "untrained.pt", "data=digits", "ch=4"]
    assert main([*line, "n=20", "n_test=30", *small]) == 0
    told = capsys.readouterr().out
    assert re.search(r"^  .*log10_l2_over_margin2, .*: the margin γ = -\S+ is not pos", told, re.M)
    assert "  steps_to_zero_error: the training was not followed" in told
    assert "log10_l2_over_margin2" not in told.partition("(M = 1): ")[2].partition("\n  ")[0]


def test_more_files_than_fit_beside_each_other(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"{i}.pt" for i in range(6)]
    for i, name in enumerate(names):
        _save(here / name, i)
    assert main(["measure", *NET, "--weights", ",".join(names), *DATA]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in names)
    assert out.count(" osgr_lhs ") == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--weights", "nix.pt"], "--weights nix.pt: there is no such file"),
        (["--weights", "a.safetensors,"], "--weights a.safetensors,: a name is empty"),
        (["--weights", "b.pt", "ch=5"], "b.pt does not fit model._target_=nets_to_measure.Net"),
        (["--weights", "b.pt", "+model.args.depth=2"], "4.weight [1, 4] is missing in the file"),
        (["--weights", "b.pt", "n=20,30"], "n=20,30: one value is needed"),
        (["--weights", "b.pt", "epochs=3"], "epochs=3: nothing is trained"),
        (["--weights", "b.pt", "n_sets=3"], "n_sets=3: one training set is measured (M = 1)"),
        (["--weights", "b.pt", "nn=3"], "There is no key 'nn'"),
        (["--weights", "b.pt", "n=1"], "n=1: size of each training set must be at least 2"),
        (["--weights", "b.pt", "--model", "nets_to_measure.Nix"], "it cannot be imported"),
        (["--weights", "b.pt", "--model", "nix"], "there is no option 'nix'"),
        (["--weights", "b.pt", "--output", "no/v.json"], "--output no/v.json: no file can be"),
        (["--weights", "b.pt", "--output", "b.pt"], "--output b.pt: these are the weights"),
        (["--weights", "b.pt", "--config-dir", "no"], "no"),
    ],
)
def test_mistakes(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    before = _files(here)
    assert main(["measure", *NET, *DATA, *arguments]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert told in captured.err
    assert captured.out == ""
    assert _files(here) == before


@pytest.mark.parametrize("arguments", [[], ["--weights", "b.pt", "--nix"], ["--weights"]])
def test_a_wrong_command_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["measure", *arguments])
    assert ended.value.code == 2
    assert "error: " in capsys.readouterr().err
