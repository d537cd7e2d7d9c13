"""Ctrl-C at each point of a launch: whatever it has made by then is closed."""

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.launcher import launch as launching
from gsnr_sweep.launcher.backends.local import LocalBackend
from gsnr_sweep.launcher.launch import Sweep, _heeding_interrupts, _Interrupts
from gsnr_sweep.launcher.monitor import Monitor
from gsnr_sweep.records.manifest import Manifest, SweepJob
from gsnr_sweep.tracking.run_writer import RunWriter
from gsnr_sweep.tracking.sweep_tracker import SweepTracker
from tests.conftest import launch_here

GRID = ("-m", "data=toy", "model=mlp", "n=20", "ch=2,3", "n_sets=2", "n_test=20", "epochs=1")
GRID = (*GRID, "measure_at=[1]", "hydra.launcher.workers=1", "hydra.sweep.dir=out")
POINTS: dict[str, tuple[Any, str]] = {
    "the sweep's run": (MlflowClient, "create_run"),
    "its tags": (RunWriter, "tags"),
    "its parameters": (RunWriter, "params"),
    "the tracker": (launching, "start_tracking"),
    "killed runs": (launching, "close_killed_runs"),
    "reused runs": (launching, "send_reused_again"),
    "the payload": (launching.JobContext, "write"),
    "the manifest": (Manifest, "write"),
    "its copy in the store": (SweepTracker, "log_file"),
    "the job pool": (Sweep, "_follow"),
    "the watch": (Monitor, "run"),
    "jobs": (LocalBackend, "submit"),
}
WITHOUT_JOBS = [point for point in POINTS if point != "jobs"]


def ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def put(
    monkeypatch: pytest.MonkeyPatch, point: str, *, before: bool, what: Callable[[], None]
) -> None:
    """Have something happen right before or after what is done at a point, once."""
    owner, name = POINTS[point]
    original, happened = getattr(owner, name), []

    def once() -> None:
        if not happened:
            happened.append(True)
            what()

    def patched(*args: Any, **kwargs: Any) -> Any:
        if before:
            once()
        done = original(*args, **kwargs)
        once()
        return done

    monkeypatch.setattr(owner, name, patched)


def runs_in(store: MlflowClient) -> list[Run]:
    experiments = [e.experiment_id for e in store.search_experiments()]
    return list(store.search_runs(experiments))


@pytest.mark.parametrize(
    ("point", "before"),
    [("the sweep's run", True), *((point, False) for point in WITHOUT_JOBS)],
    ids=["before all", *WITHOUT_JOBS],
)
def test_a_sweeps_run_is_closed(
    store: MlflowClient, folder: Path, monkeypatch: pytest.MonkeyPatch, point: str, before: bool
) -> None:
    put(monkeypatch, point, before=before, what=ctrl_c)
    monkeypatch.setattr(Monitor, "_submit", lambda *_: None)  # the interrupt comes before any job
    ended = launch_here(folder, *GRID)
    assert "Stopped with 0 of 2 runs complete" in ended.err
    assert ended.code == 1
    assert [run.info.status for run in runs_in(store)] == ["KILLED"]


def refuse() -> None:
    raise GsnrError("no room")


@pytest.mark.parametrize("point", ["its parameters", "the payload", "the manifest", "the watch"])
def test_a_sweeps_run_is_closed_if_something_fails(
    store: MlflowClient, folder: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    put(monkeypatch, point, before=True, what=refuse)
    ended = launch_here(folder, *GRID)
    assert ended.code == 1
    assert "no room" in ended.err
    assert [run.info.status for run in runs_in(store)] == ["FAILED"]


@pytest.mark.parametrize("detach", [False, True])
def test_jobs_that_were_just_submitted_are_cancelled(
    store: MlflowClient, folder: Path, monkeypatch: pytest.MonkeyPatch, detach: bool
) -> None:
    cancelled: list[str] = []
    cancel = LocalBackend.cancel

    def noting(self: LocalBackend, jobs: Sequence[SweepJob], pending_only: bool = False) -> None:
        cancelled.extend(job.id for job in jobs if not pending_only)
        cancel(self, jobs, pending_only)

    put(monkeypatch, "jobs", before=False, what=ctrl_c)
    monkeypatch.setattr(LocalBackend, "cancel", noting)
    ended = launch_here(folder, *GRID, f"hydra.launcher.detach={str(detach).lower()}")
    assert ended.code == 1
    assert len(cancelled) == 1
    assert [run.info.status for run in runs_in(store)] == ["KILLED"]


def test_what_is_held_is_heard_at_the_end_of_the_block() -> None:
    done: list[str] = []

    def make() -> None:
        with _heeding_interrupts() as interrupts:
            try:
                with interrupts.held():
                    ctrl_c()
                    ctrl_c()
                    done.append("made")
                done.append("went on")
            except KeyboardInterrupt:
                done.append("closed")
                with interrupts.held():  # nothing is left to be told
                    ctrl_c()
                ctrl_c()

    make()
    assert done == ["made", "closed"]


def test_a_block_without_interrupts_goes_on() -> None:
    with _heeding_interrupts() as interrupts:
        with interrupts.held():
            pass
        with pytest.raises(KeyboardInterrupt):
            ctrl_c()


def test_a_failure_in_a_held_block_is_the_one_that_counts() -> None:
    def fail(interrupts: _Interrupts) -> None:
        with interrupts.held():
            ctrl_c()
            refuse()

    with _heeding_interrupts() as interrupts, pytest.raises(GsnrError, match="no room"):
        fail(interrupts)
