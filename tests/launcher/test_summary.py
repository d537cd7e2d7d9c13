"""What is said of a sweep at its end."""

from pathlib import Path

import pytest

from gsnr_sweep.launcher.monitor import Outcome
from gsnr_sweep.launcher.summary import _failures
from gsnr_sweep.records.manifest import SweepRun
from gsnr_sweep.records.state import State


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
