"""Live progress, drawn from status files."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from gsnr_sweep.launcher.backend import Job, Outcome
from gsnr_sweep.launcher.progress import SweepProgress, clock
from gsnr_sweep.record import Measurement, RunRecord
from gsnr_sweep.run import RunResult
from gsnr_sweep.status import StatusFile


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (9.6, "0:10"), (59.9, "1:00"), (245, "4:05"), (3723, "1:02:03")],
)
def test_durations_are_written_as_people_read_them(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def _jobs(folder: Path, *costs: float) -> list[Job]:
    return [Job(i, f"run {i}", folder / str(i), b"", cost) for i, cost in enumerate(costs)]


def _result(job: Job, untracked: str = "") -> RunResult:
    record = RunRecord(job.name, {}, "", {}, summary={"wall_time_s": 65.0})
    record.measurements = [Measurement(20, {"osgr_lhs": 0.91234, "osgr_rhs": -0.5})]
    return RunResult(record, str(job.folder), "", untracked)


def _console(terminal: bool) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, force_terminal=terminal, width=120), out


def test_a_line_for_each_run_that_ended(tmp_path: Path) -> None:
    console, out = _console(terminal=False)
    jobs = _jobs(tmp_path, 1, 1, 1)
    with SweepProgress(jobs, console) as progress:
        progress.look()
        progress.ended(Outcome(jobs[1], _result(jobs[1])))
        progress.ended(Outcome(jobs[0], None, "no [bold]luck[/bold] [/today]"))
        progress.ended(Outcome(jobs[2], _result(jobs[2], "MLflow: gone")))
    assert out.getvalue().splitlines() == [
        "[1/3] run 1  1:05  epoch 20: LHS 0.912  RHS -0.500",
        "[2/3] run 0  FAILED: no [bold]luck[/bold] [/today]",
        "[3/3] run 2  1:05  epoch 20: LHS 0.912  RHS -0.500  (record on disk only)",
    ]


def test_the_whole_grids_bar_counts_work_not_runs(tmp_path: Path) -> None:
    console, out = _console(terminal=True)
    jobs = _jobs(tmp_path, 30, 10)
    with SweepProgress(jobs, console) as progress:
        tasks = {task.id: task for task in progress._progress.tasks}
        progress.look()
        assert tasks[progress._all].completed == 0
        for job in jobs:
            job.folder.mkdir()
        status = StatusFile(jobs[0].folder, 10)
        status.status.epoch, status.status.state = 5, "running"
        status.write()
        progress.look()
        assert tasks[progress._all].completed == pytest.approx(0.5 * 30 / 40)
        progress.ended(Outcome(jobs[0], _result(jobs[0])))
        progress.look()
        assert tasks[progress._all].completed == pytest.approx(30 / 40)
        progress.ended(Outcome(jobs[1], None, "broken"))
        progress.look()
        assert tasks[progress._all].completed == pytest.approx(1)
    assert "run 0" in out.getvalue()


def test_a_status_file_that_is_half_there_does_no_harm(tmp_path: Path) -> None:
    console, _ = _console(terminal=True)
    jobs = _jobs(tmp_path, 1)
    jobs[0].folder.mkdir()
    (jobs[0].folder / "status.json").write_text('{"state": "run')
    with SweepProgress(jobs, console) as progress:
        progress.look()
