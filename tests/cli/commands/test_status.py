"""How far a sweep is, told from its folder."""

import io
import os
import socket
import time
from pathlib import Path

import pytest
from rich.console import Console

from gsnr_sweep.cli.commands.overview import RunView, cost_done, headline, view_runs
from gsnr_sweep.cli.commands.status import is_over, show_status
from gsnr_sweep.records.manifest import Manifest, SweepJob, SweepRun
from gsnr_sweep.records.processes import identify
from tests.fakes import gone_pid, listing, put_claim, put_run, put_sweep

STATES = ("finished", "running", "preparing", "interrupted", "killed", "failed", "diverged")


def alive_job(*runs: int) -> SweepJob:
    return SweepJob(str(os.getpid()), list(runs), socket.gethostname(), process=identify())


def dead_job(*runs: int) -> SweepJob:
    pid = gone_pid()
    return SweepJob(str(pid), list(runs), socket.gethostname(), process=identify(pid))


def _shown(manifest: Manifest, width: int = 160) -> str:
    console = Console(file=io.StringIO(), width=width)
    show_status(manifest, console)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def _row(out: str, index: int) -> list[str]:
    (row,) = [
        line.split()
        for line in out.splitlines()
        if line.split()[:3] == [str(index), "run", str(index)]
    ]
    return row


def _view(manifest: Manifest, index: int) -> RunView:
    return view_runs(manifest)[index]


@pytest.fixture
def sweep(tmp_path: Path) -> Manifest:
    """A sweep with a run in every state, and one that has not begun."""
    manifest = put_sweep(tmp_path / "sweep", len(STATES) + 1)
    for index, state in enumerate(STATES):
        put_run(manifest.folder / str(index), state, message=f"message of {state}")
    return manifest


# --- each state


def test_every_state_has_its_line(sweep: Manifest) -> None:
    before = listing(sweep.folder)
    out = _shown(sweep)
    for index, state in enumerate(STATES):
        row = _row(out, index)
        assert row[3] == state
        assert row[4] == ("10/10" if state == "finished" else "4/10")
        if state != "preparing":
            assert f"message of {state}" in " ".join(row)
    assert _row(out, len(STATES))[3] == "waiting"
    assert listing(sweep.folder) == before


def test_the_line_above_counts_them(sweep: Manifest) -> None:
    assert headline(sweep, view_runs(sweep)) == (
        "digits sweep (0a1b2c3d): 3 of 8 done: 1 finished, 1 preparing, 1 running, 1 waiting, "
        "1 interrupted, 1 killed, 1 failed, 1 diverged"
    )


def test_a_dead_process_is_seen_before_anybody_has_written_it_down(tmp_path: Path) -> None:
    manifest = put_sweep(tmp_path / "sweep", 2)
    put_run(manifest.folder / "0", "running", alive=False)
    put_claim(manifest.folder / "1", alive=False)
    out = _shown(manifest)
    for index in (0, 1):
        assert _row(out, index)[3] == "killed"
        assert "its process died" in " ".join(_row(out, index))


def test_a_run_that_is_starting(tmp_path: Path) -> None:
    manifest = put_sweep(tmp_path / "sweep", 1)
    put_claim(manifest.folder / "0")
    assert (_view(manifest, 0).state, _view(manifest, 0).share) == ("preparing", 0.0)


def test_where_a_run_is(sweep: Manifest) -> None:
    out = _shown(sweep)
    assert socket.gethostname() in _row(out, STATES.index("running"))
    assert socket.gethostname() in _row(out, STATES.index("killed"))
    assert socket.gethostname() not in _row(out, STATES.index("finished"))


def test_runs_of_earlier_launches(tmp_path: Path) -> None:
    manifest = put_sweep(tmp_path / "d" / "sweep", 6)
    reused, elsewhere, over, twice, stored, diverged = manifest.runs
    for run, action in ((reused, "reuse"), (elsewhere, "elsewhere"), (over, "elsewhere")):
        run.action, run.folder = action, f"../old/{run.index}"
    diverged.action, diverged.folder = "reuse", "../old/5"
    twice.action, twice.folder, twice.note = "repeat", "../old/0", "as run 0"
    stored.action, stored.folder, stored.run_id, stored.note = "reuse", "", "a" * 32, "long ago"
    old = tmp_path / "d" / "old"
    put_run(old / "0", "finished")
    put_run(old / "1", "running")
    put_run(old / "2", "finished")
    put_run(old / "5", "diverged")
    manifest.write()
    views = view_runs(manifest)
    assert [view.state for view in views] == [
        *("reused", "elsewhere", "finished", "repeat", "reused", "diverged"),
    ]
    assert [view.over for view in views] == [True, False, True, True, True, True]
    assert (views[3].message, views[4].message) == ("as run 0", "long ago")
    assert headline(manifest, views) == (
        "digits sweep (0a1b2c3d): 5 of 6 done: 2 reused, 1 finished, 1 diverged, 1 elsewhere, "
        "1 repeat"
    )


# --- how much is done, and how long it takes


def test_work_is_counted_by_cost(tmp_path: Path) -> None:
    manifest = put_sweep(tmp_path / "sweep", 3)
    for run, cost in zip(manifest.runs, (60.0, 30.0, 10.0), strict=True):
        run.cost = cost
    put_run(manifest.folder / "0", "running", epoch=5, epochs=10)
    put_run(manifest.folder / "2", "failed")
    assert cost_done(view_runs(manifest)) == pytest.approx(0.3 + 0.1)
    manifest.runs[0].action = "reuse"
    assert cost_done(view_runs(manifest)) == pytest.approx(0.25)
    for run in manifest.runs:
        run.action = "reuse"
    assert cost_done(view_runs(manifest)) == 1.0


def test_the_time_left_goes_by_the_pace_of_this_attempt(tmp_path: Path) -> None:
    """Not by that of the attempts before, which may have been on another machine."""
    manifest = put_sweep(tmp_path / "sweep", 3)
    now = time.time()
    put_run(manifest.folder / "0", "running", started=now - 20, epoch=60, started_at=40, epochs=100)
    put_run(manifest.folder / "1", "running", started=now - 20, epoch=40, started_at=40, epochs=100)
    put_run(manifest.folder / "2", "interrupted", started=now - 20, epoch=60, epochs=100)
    lefts = [view.seconds_left for view in view_runs(manifest)]
    assert lefts[0] == pytest.approx(40, abs=5)
    assert lefts[1:] == [None, None]


# --- jobs, and whether it is over


@pytest.mark.parametrize(
    ("jobs", "words"),
    [
        ((), "local: no jobs"),
        ((alive_job,), "local: jobs: 1 running"),
        ((alive_job, dead_job, dead_job), "local: jobs: 1 running, 2 over"),
    ],
)
def test_jobs_are_counted(sweep: Manifest, jobs: tuple, words: str) -> None:
    sweep.jobs = [make(0) for make in jobs]
    assert f"{words};" in _shown(sweep)


def test_what_was_stopped_is_resumed_by_the_same_command(sweep: Manifest) -> None:
    out = " ".join(_shown(sweep).split())
    assert "3 run(s) are stopped or failed. The same command resumes them: python launch.py" in out
    sweep.jobs = [alive_job(0)]
    assert "The same command" not in _shown(sweep)  # there is still somebody who may try again


def test_when_a_sweep_is_over(tmp_path: Path) -> None:
    manifest = put_sweep(tmp_path / "sweep", 2)
    assert is_over(manifest)  # nobody will begin
    manifest.jobs = [alive_job(0, 1)]
    assert not is_over(manifest)
    for index, state in enumerate(("finished", "failed")):
        put_run(manifest.folder / str(index), state)
    assert is_over(manifest)  # the last process has not left yet
    put_run(manifest.folder / "0", "interrupted")
    assert not is_over(manifest)
    manifest.jobs = [dead_job(0, 1)]
    assert is_over(manifest)


def test_a_sweep_of_another_machine_is_over_when_it_has_been_silent_for_long(
    tmp_path: Path,
) -> None:
    """Its processes cannot be seen from here; its runs' reports can."""
    manifest = put_sweep(tmp_path / "sweep", 1)
    manifest.jobs = [SweepJob("17", [0], "another-machine", 1000.0)]
    put_run(manifest.folder / "0", "running", host="another-machine", pid=17)
    assert not is_over(manifest)
    put_run(manifest.folder / "0", "running", host="another-machine", pid=17, updated=1000.0)
    assert is_over(manifest)


def test_watching_ends_with_the_sweep(sweep: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep.jobs = [alive_job(*range(8))]
    sweep.write()
    looks = []

    def sleep(_: float) -> None:
        looks.append(1)
        assert len(looks) < 10
        if len(looks) == 3:
            for run in sweep.runs:
                put_run(sweep.folder_of(run), "finished")

    monkeypatch.setattr("gsnr_sweep.cli.commands.status.time.sleep", sleep)
    console = Console(file=io.StringIO(), width=160, force_terminal=True)
    show_status(sweep, console, watch=True)
    assert len(looks) == 3
    assert "8 of 8 done: 8 finished" in console.file.getvalue()  # type: ignore[attr-defined]


def test_markup_in_messages_is_text(tmp_path: Path) -> None:
    manifest = put_sweep(tmp_path / "sweep", 1, runs=[SweepRun(0, "[bold]x[/]", "h", folder="0")])
    put_run(manifest.folder / "0", "failed", message="[/red] no such key")
    assert "[/red] no such key" in _shown(manifest)
    assert "[bold]x[/]" in _shown(manifest)
