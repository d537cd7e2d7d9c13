"""``python -m gsnr_sweep sync``: what it says, and its exit code."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from gsnr_sweep.cli.commands.sync import sync
from gsnr_sweep.records.manifest import Manifest
from gsnr_sweep.records.sent import Sent, record_digest
from gsnr_sweep.tracking.exporter import Exporter
from tests.fakes import put_run, put_sweep


def _sync(*sweeps: Manifest) -> tuple[int, str]:
    console = Console(file=io.StringIO(), width=120)
    code = sync(sweeps, console)
    return code, console.file.getvalue()  # type: ignore[attr-defined]


def _sweep(folder: Path, name: str, uri: str = "sqlite:///x.db") -> Manifest:
    manifest = put_sweep(folder / name, 3, name=name, id=name, uri=uri, launch_folder=str(folder))
    for index, tracked in enumerate((False, False, True)):
        put_run(manifest.folder / str(index), "finished", tracked=tracked)
    return manifest


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the store answers to one record after the other; nothing once all is said."""
    answers: list[str] = []

    def send(_: Exporter, folder: Path) -> str:
        problem = answers.pop(0) if answers else ""
        if not problem:
            Sent(digest=record_digest(folder)).write(folder)
        return problem

    monkeypatch.setattr(Exporter, "send", send)
    return answers


def test_everything_is_sent(tmp_path: Path, store: list[str]) -> None:
    sweeps = [_sweep(tmp_path, "one"), _sweep(tmp_path, "two")]
    code, out = _sync(*sweeps)
    assert code == 0
    assert out.splitlines() == [
        "one (one): 2 of 2 runs sent",
        "two (two): 2 of 2 runs sent",
        "MLflow has everything that is on disk.",
    ]
    assert _sync(*sweeps) == (0, "MLflow has everything that is on disk.\n")


def test_what_cannot_be_sent_is_said_and_another_sweep_is_tried(
    tmp_path: Path, store: list[str]
) -> None:
    store += ["", "no [answer]"]
    code, out = _sync(_sweep(tmp_path, "one"), _sweep(tmp_path, "two"))
    assert code == 1
    assert out.splitlines() == [
        "one (one): 1 of 2 runs sent; no [answer]",
        "two (two): 2 of 2 runs sent",
    ]


def test_nothing_to_do(tmp_path: Path, store: list[str]) -> None:
    for sweeps in ((), (_sweep(tmp_path, "untracked", uri=""),)):
        assert _sync(*sweeps) == (0, "MLflow has everything that is on disk.\n")
