"""A user's own configs with anything in them: one paragraph that names the file."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gsnr_sweep.cli import launch as cli
from tests.conftest import CONF
from tests.hostile.measuring import within_bounds

TOY = (
    *("data=toy", "n=20", "ch=2", "n_sets=2", "n_test=20", "epochs=1", "measure_at=[1]"),
    "tracking=none",
)
CONTENTS: dict[str, bytes] = {
    "unclosed": b"a: [1, 2",
    "tab": b"a:\n\tb: 1",
    "no mapping": b"just words",
    "a list": b"- 1\n- 2\n",
    "a number": b"5",
    "control": b"name: \x1b[2J",
    "escape": b'name: "\\e]0;planted\\a"',
    "not UTF-8": b"name: \xff\xfe",
    "UTF-16": "name: x".encode("utf-16"),
    "NUL": b"name: a\0b",
    "deep": b"a: " + b"[" * 3000,
    "deep mappings": b"{a: " * 2000,
    "alias bomb": b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    + b"".join(
        b"%c: &%c [%s]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 9)) for c in range(98, 109)
    ),
    "itself": b"a: &a [*a]",
    "an object": b"a: !!python/object/apply:os.system ['true']",
    "twice": b"name: a\nname: b\n",
    "unknown tag": b"a: !nope 1",
    "two documents": b"a: 1\n---\nb: 2\n",
    "unknown default": b"defaults: [nope]\n",
    "defaults of text": b"defaults: nope\n",
    "defaults of numbers": b"defaults: [1, 2]\n",
    "its own default": b"defaults: [mine]\n",
    "default of a group": b"defaults: [{nope: x}]\n",
    "defaults broken": b"defaults: [{override: x}, {a: [1]}, null]\n",
    "interpolation": b"name: ${nope}\n",
    "interpolation broken": b"name: ${nope\n",
    "resolver": b"name: ${nope:1}\n",
    "in a circle": b"name: ${model.x}\nx: ${model.name}\n",
    "unknown key": b"defaults: [mlp]\nnope: 1\n",
    "spaced": b"a: " + b"[ " * 3000,
    "wrong type": b"defaults: [mlp]\nfrozen: {a: 1}\n",
    "no name": b"{}",
    "number keys": b"1: 2\n",
    "a date": b"defaults: [mlp]\ninit: 2020-01-01\n",
    "not a number": b"defaults: [mlp]\nargs: {x: .nan}\n",
    "package": b"# @package nope.[\nname: mlp\n",
}
KINDS: dict[str, Callable[[Path], Any]] = {
    "folder": Path.mkdir,
    "loop": lambda path: path.symlink_to(path.name),
    "nowhere": lambda path: path.symlink_to("nowhere"),
}


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def nothing_started(*_: object) -> None:
        raise AssertionError("Hydra was called")

    monkeypatch.setattr(cli, "_hand_to_hydra", nothing_started)
    monkeypatch.setattr(sys, "argv", ["launch.py"])
    monkeypatch.setattr(sys, "path", list(sys.path))
    (folder / "work").mkdir()
    monkeypatch.chdir(folder / "work")
    return folder


def refusal(here: Path, *arguments: str) -> str:
    with within_bounds(), pytest.raises(SystemExit) as ended:
        cli.main(CONF, arguments)
    told = ended.value.code
    assert isinstance(told, str)
    assert told.startswith("gsnr-sweep: ")
    assert len(told) < 2000
    assert told.isprintable()
    assert "Traceback" not in told
    assert list((here / "work").iterdir()) == []
    return told


@pytest.mark.parametrize("kind", CONTENTS)
def test_a_config_of_a_group(here: Path, kind: str) -> None:
    (here / "own" / "model").mkdir(parents=True)
    (here / "own" / "model" / "mine.yaml").write_bytes(CONTENTS[kind])
    refusal(here, "--config-dir", str(here / "own"), *TOY, "model=mine")


PRIMARY = (
    *("unclosed", "a list", "a number", "not UTF-8", "deep", "alias bomb", "itself"),
    *("defaults of numbers", "its own default", "unknown key"),
)


@pytest.mark.parametrize("kind", PRIMARY)
def test_a_primary_config(here: Path, kind: str) -> None:
    (here / "own").mkdir()
    (here / "own" / "mine.yaml").write_bytes(CONTENTS[kind])
    refusal(here, "--config-dir", str(here / "own"), "--config-name", "mine", *TOY)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("group", ["", "model"])
def test_what_is_no_file(here: Path, group: str, kind: str) -> None:
    (here / "own" / group).mkdir(parents=True)
    KINDS[kind](here / "own" / group / "mine.yaml")
    chosen = ["model=mine"] if group else ["--config-name", "mine"]
    refusal(here, "--config-dir", str(here / "own"), *TOY, *chosen)
