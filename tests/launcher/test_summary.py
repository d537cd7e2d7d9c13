"""What is said at a sweep's end, and when it counts as failed."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from gsnr_sweep.launcher.monitor import Outcome
from gsnr_sweep.launcher.summary import SweepFailedError, _failures, finish, interrupt
from gsnr_sweep.records.manifest import Manifest, SweepRun
from gsnr_sweep.records.state import Action, State
from tests.conftest import tiny_config
from tests.fakes import put_run, put_status, put_sweep


@pytest.fixture
def sweep(tmp_path: Path) -> Manifest:
    """Two runs without a store, the first of which is finished."""
    manifest = put_sweep(tmp_path / "sweep", 2)
    put_run(manifest.folder_of(manifest.runs[0]), "finished", cfg=tiny_config())
    return manifest


def _finish(manifest: Manifest, *outcomes: Outcome) -> str:
    console = Console(file=io.StringIO(), width=200)
    finish(manifest, outcomes, console)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_a_sweep_whose_runs_cannot_be_tabulated_has_failed(
    sweep: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gsnr_sweep.launcher.summary.collect", lambda *_: None)
    with pytest.raises(SweepFailedError, match=r"there is no table.*gsnr_sweep collect 0a1b2c3d"):
        _finish(sweep)


def test_what_is_left_to_others_is_no_failure(tmp_path: Path) -> None:
    manifest = put_sweep(tmp_path / "sweep", 1)
    manifest.runs[0].action = Action.ELSEWHERE
    put_run(tmp_path / "sweep" / "0", "running")
    assert "1 run(s) are left to another launch" in _finish(manifest)


def test_failures_are_named_with_the_end_of_their_logs(sweep: Manifest) -> None:
    failed = sweep.folder_of(sweep.runs[1])
    put_status(failed, "failed")
    (failed / "run.log").write_text("first\n\nno luck\n")
    outcome = Outcome(sweep.runs[1], failed, State.FAILED, "ArithmeticError: no luck")
    with pytest.raises(SweepFailedError) as caught:
        _finish(sweep, outcome)
    first, second, *log = str(caught.value).splitlines()
    assert first.startswith("1 of 2 runs failed")
    assert second.startswith("  run 1: ArithmeticError: no luck  (log: ")
    assert [line.strip() for line in log] == ["| first", "| no luck"]


def test_a_stopped_sweep_says_how_to_go_on(sweep: Manifest) -> None:
    with pytest.raises(SweepFailedError, match=r"Stopped with 1 of 2 runs complete.*same command"):
        interrupt(sweep, None, Console(quiet=True))


@pytest.mark.parametrize(
    ("failed", "total", "words"),
    [
        (2, 3, "2 of 3 runs failed; the others are complete. The same command tries"),
        (2, 2, "All 2 runs failed. The same command tries"),
        (1, 1, "The run failed. The same command tries"),
    ],
)
def test_others_are_complete_if_there_are_any(
    tmp_path: Path, failed: int, total: int, words: str
) -> None:
    runs = [SweepRun(i, f"run {i}", "0" * 16, 0.0, folder=str(i)) for i in range(failed)]
    outcomes = [Outcome(run, tmp_path / run.folder, State.FAILED, "why") for run in runs]
    assert _failures(outcomes, total).startswith(words)
