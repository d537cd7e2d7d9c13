"""Live progress, drawn from status files."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from gsnr_sweep.launcher.monitor import Outcome
from gsnr_sweep.launcher.progress import SweepProgress
from gsnr_sweep.records.manifest import SweepRun
from gsnr_sweep.records.record import Measurement, RunRecord
from gsnr_sweep.records.state import State
from gsnr_sweep.records.status import Status, StatusFile


def _runs(*costs: float) -> list[SweepRun]:
    return [SweepRun(i, f"run {i}", "feed", cost, folder=str(i)) for i, cost in enumerate(costs)]


def _finished(folder: Path, run: SweepRun) -> Outcome:
    """Leave what a finished run leaves."""
    own = folder / run.folder
    own.mkdir(exist_ok=True)
    record = RunRecord(run.name, {}, "feed", {}, "finished", summary={"wall_time_s": 65.0})
    record.measurements = [Measurement(20, {"osgr_lhs": 0.91234, "osgr_rhs": -0.5})]
    record.write(own)
    StatusFile(own, Status("finished", 20, 20))
    return Outcome(run, own, State.FINISHED)


def _failed(folder: Path, run: SweepRun, why: str) -> Outcome:
    return Outcome(run, folder / run.folder, State.FAILED, why)


def _console(terminal: bool) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, force_terminal=terminal, width=120), out


def _progress(runs: list[SweepRun], folder: Path, console: Console) -> SweepProgress:
    return SweepProgress(runs, lambda run: folder / run.folder, console)


def _look(progress: SweepProgress) -> None:
    """Look now, although the last time was a moment ago."""
    progress._next_look = 0.0
    progress.look()


def test_a_line_for_each_run_that_ended(tmp_path: Path) -> None:
    console, out = _console(terminal=False)
    runs = _runs(1, 1, 1)
    with _progress(runs, tmp_path, console) as progress:
        progress.look()
        progress.ended(_finished(tmp_path, runs[1]))
        progress.ended(_failed(tmp_path, runs[0], "no [bold]luck[/bold] [/today]"))
        progress.ended(_finished(tmp_path, runs[2]))
    assert out.getvalue().splitlines() == [
        "[1/3] run 1  65 s  epoch 20: LHS 0.912  RHS -0.500",
        "[2/3] run 0  FAILED: no [bold]luck[/bold] [/today]",
        "[3/3] run 2  65 s  epoch 20: LHS 0.912  RHS -0.500",
    ]


def test_a_store_that_fails_is_named_once(tmp_path: Path) -> None:
    console, out = _console(terminal=False)
    with _progress(_runs(1), tmp_path, console) as progress:
        for problem in ("", "MLflow: no [answer]", "MLflow: no [answer]", "", "MLflow: full"):
            progress.warn_of_store(problem)
    assert out.getvalue().splitlines() == [
        "MLflow: no [answer]. Records stay on disk and are sent when the store is back.",
        "MLflow: full. Records stay on disk and are sent when the store is back.",
    ]


def test_the_whole_grids_bar_counts_work_not_runs(tmp_path: Path) -> None:
    console, out = _console(terminal=True)
    runs = _runs(30, 10)
    with _progress(runs, tmp_path, console) as progress:
        tasks = {task.id: task for task in progress._progress.tasks}
        _look(progress)
        assert tasks[progress._all].completed == 0
        (tmp_path / "0").mkdir()
        StatusFile(tmp_path / "0", Status("running", 5, 10))
        _look(progress)
        assert tasks[progress._all].completed == pytest.approx(0.5 * 30 / 40)
        progress.ended(_finished(tmp_path, runs[0]))
        _look(progress)
        assert tasks[progress._all].completed == pytest.approx(30 / 40)
        progress.ended(_failed(tmp_path, runs[1], "broken"))
        _look(progress)
        assert tasks[progress._all].completed == pytest.approx(1)
    assert "run 0" in out.getvalue()


def _bar(progress: SweepProgress) -> float:
    _look(progress)
    (task,) = [task for task in progress._progress.tasks if task.id == progress._all]
    return task.completed


def _report(folder: Path, run: SweepRun, state: State, epoch: int, epochs: int) -> Outcome:
    own = folder / run.folder
    own.mkdir(exist_ok=True)
    StatusFile(own, Status(state, epoch, epochs))
    return Outcome(run, own, state, "" if state == State.FINISHED else "why")


def test_runs_that_ended_early_tell_what_the_others_will_take(tmp_path: Path) -> None:
    """Of 400 epochs the finished runs took 70 and 50, for the cost of 20 and 10 to the last one."""
    console, _ = _console(terminal=True)
    runs = _runs(20, 10, 20, 40)
    with _progress(runs, tmp_path, console) as progress:
        _report(tmp_path, runs[0], State.RUNNING, 40, 400)
        assert _bar(progress) == pytest.approx(0.1 * 20 / 90)
        progress.ended(_report(tmp_path, runs[0], State.FINISHED, 70, 400))
        done = 20 * 70 / 400
        assert _bar(progress) == pytest.approx(done / (done + 70 * 70 / 400))
        progress.ended(_report(tmp_path, runs[1], State.FINISHED, 50, 400))
        _report(tmp_path, runs[2], State.RUNNING, 20, 400)
        share = (20 * 70 + 10 * 50) / 400 / 30
        done += 10 * 50 / 400 + 20 * 20 / 400
        left = (20 * share - 20 * 20 / 400) + 40 * share
        assert _bar(progress) == pytest.approx(done / (done + left))
        _report(tmp_path, runs[2], State.RUNNING, 300, 400)  # longer than the others: no less left
        done += 20 * 280 / 400
        assert _bar(progress) == pytest.approx(done / (done + 40 * share))
        progress.ended(_report(tmp_path, runs[2], State.FAILED, 300, 400))  # which tells nothing
        assert _bar(progress) == pytest.approx(done / (done + 40 * share))
        progress.ended(_report(tmp_path, runs[3], State.FINISHED, 70, 400))
        assert _bar(progress) == 1


def test_what_an_earlier_launch_did_says_nothing_about_the_pace(tmp_path: Path) -> None:
    console, _ = _console(terminal=True)
    runs = _runs(10, 10)
    runs[0].resume_epoch = 60
    with _progress(runs, tmp_path, console) as progress:
        _report(tmp_path, runs[0], State.RUNNING, 60, 100)
        assert _bar(progress) == 0
        _report(tmp_path, runs[0], State.RUNNING, 70, 100)
        assert _bar(progress) == pytest.approx(1 / 14)


def test_a_run_that_is_measured_only_is_done_at_its_end(tmp_path: Path) -> None:
    console, _ = _console(terminal=True)
    runs = _runs(10, 10)
    with _progress(runs, tmp_path, console) as progress:
        progress.ended(_report(tmp_path, runs[0], State.FINISHED, 0, 0))
        assert _bar(progress) == pytest.approx(0.5)


@pytest.mark.parametrize("state", ["killed", "interrupted"])
def test_a_run_that_stopped_has_no_bar_until_it_goes_on(tmp_path: Path, state: str) -> None:
    console, _ = _console(terminal=True)
    (tmp_path / "0").mkdir()
    with _progress(_runs(1), tmp_path, console) as progress:
        for now, bars in (("running", 2), (state, 1), ("running", 2)):
            StatusFile(tmp_path / "0", Status(now, 5, 10))
            _look(progress)
            assert len(progress._progress.tasks) == bars
            assert progress._progress.tasks[0].completed == pytest.approx(0.5)


def test_a_status_file_that_is_half_there_does_no_harm(tmp_path: Path) -> None:
    console, _ = _console(terminal=True)
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "status.json").write_text('{"state": "run')
    with _progress(_runs(1), tmp_path, console) as progress:
        progress.look()
