"""Escape sequences in everything that others name: none is printed, written or sent as it is."""

import json
import shutil
from pathlib import Path

import pytest

from gsnr_sweep.cli import main as commands
from gsnr_sweep.wording import printable
from tests.conftest import Launched, launch_here
from tests.hostile.files import ESCAPES
from tests.launcher.planted import files_with

ALL = "".join(f"planted{escape}{number}" for number, escape in enumerate(ESCAPES))
RAW = tuple(f"planted{escape}{number}".encode() for number, escape in enumerate(ESCAPES))
MODULE = f'''
"""A model, a measure and an error of a user's, with escape sequences in all their texts."""

import torch
from torch import nn

PLANTED = {ALL!r}


class Planted(nn.Module):
    def __init__(self, input_shape, n_outputs, ch):
        super().__init__()
        self.add_module(PLANTED, nn.Linear(input_shape[0], ch))
        self.add_module("last", nn.Linear(ch, n_outputs))

    def forward(self, x):
        for layer in self.children():
            x = layer(x)
        return x


def measure(snapshot):
    if snapshot.epoch == 2:
        raise ValueError("failed " + PLANTED)
    return {{"mine " + PLANTED: 1.0, "mine/list " + PLANTED: [1.0, 2.0]}}
'''
TOY = (
    *("data=toy", "n=20", "ch=2", "n_sets=2", "n_test=20", "epochs=1"),
    *("measure_at=every:1", "model=custom", "model._target_=planted_model.Planted"),
)


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory, migrated_store: Path) -> list[Launched]:
    """A sweep with a run that fails, and two runs alone, in a folder of such a name."""
    escapes = ALL.replace("planted", "folder")
    folder = tmp_path_factory.mktemp("escapes") / f"in {escapes}"
    folder.mkdir()
    shutil.copy(migrated_store, folder / "mlflow.db")
    (folder / "planted_model.py").write_text(MODULE)
    (folder / "own").mkdir()
    (folder / "own" / "mine.yaml").write_text(
        "defaults: [config, _self_]\nmeasures: {functions: {own: planted_model.measure}}\n"
    )
    own = ("--config-dir", "own", "--config-name", "mine")
    sweep = ("-m", *TOY, "epochs=1,2", "hydra.launcher.workers=1")
    return [
        launch_here(folder, *own, *sweep),
        launch_here(folder, *own, *TOY, "seed=3"),
        launch_here(folder, *own, *TOY, "epochs=2"),
    ]


def _clean(done: Launched) -> None:
    assert printable(done.out + done.err) == done.out + done.err
    assert "Traceback" not in done.out + done.err


def test_nothing_is_printed_as_it_is(launched: list[Launched]) -> None:
    for done in launched:
        _clean(done)
    assert [done.code for done in launched] == [1, 0, 1], launched[2].out + launched[2].err
    assert "failed planted" in launched[0].out + launched[0].err


def test_nothing_is_written_or_sent_as_it_is(launched: list[Launched]) -> None:
    """The store names the launch folder, which is called what it is called."""
    assert files_with(launched[0].folder, RAW) == set()


@pytest.mark.parametrize("command", ["status", "logs", "collect", "report", "cancel", "sync"])
def test_files_of_strangers_are_shown_without(
    launched: list[Launched],
    command: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = launched[0].folder
    (sweep,) = folder.glob("multirun/*/*/sweep.json")
    for path in (sweep, *sweep.parent.glob("*/status.json"), *sweep.parent.glob("*/record.json")):
        content = json.loads(path.read_text())
        for key in {"name", "command", "message", "error", "host", "experiment"} & content.keys():
            content[key] = f"{content[key]} {ALL}" if key != "experiment" else content[key]
        path.write_text(json.dumps(content))
    for path in sweep.parent.glob("*/run.log"):
        path.write_text(f"a line {ALL}")
    monkeypatch.chdir(folder)
    code = commands.main([command])
    told = capsys.readouterr()
    _clean(Launched(code, told.out, told.err, folder))
    assert files_with(sweep.parent, RAW) <= {"run.log"}


@pytest.mark.parametrize("key", ["run_name: {}", "experiment: {}", "{}: 1"])
@pytest.mark.parametrize("escape", ESCAPES)
def test_a_config_with_one_is_refused(folder: Path, key: str, escape: str) -> None:
    (folder / "own").mkdir()
    text = key.format(json.dumps(f"a{escape}b"))
    (folder / "own" / "mine.yaml").write_text(f"defaults: [config, _self_]\ntracking: {{{text}}}")
    done = launch_here(folder, "--config-dir", "own", "--config-name", "mine", *TOY)
    assert done.code == 1
    _clean(done)
    assert done.err.count("\n") == 1
    assert [path.name for path in folder.iterdir()] == ["own"]
