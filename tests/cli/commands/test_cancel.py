"""Stopping a sweep from another process."""

import contextlib
import io
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient
from rich.console import Console

from gsnr_sweep.cli.commands.cancel import cancel
from gsnr_sweep.records.manifest import Manifest, SweepJob
from gsnr_sweep.records.processes import identify
from gsnr_sweep.records.status import read_status
from tests.cli.commands.test_status import dead_job
from tests.conftest import tiny_config
from tests.fakes import job_command, listing, put_run, put_status, put_sweep, send


def _cancel(manifest: Manifest, seconds: float = 60.0) -> str:
    console = Console(file=io.StringIO(), width=120)
    cancel(manifest, console, seconds)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


@pytest.fixture
def process(tmp_path: Path) -> Iterator[psutil.Popen]:
    """A process that stands in for a worker."""
    command = job_command(tmp_path / "sweep", "input()")
    with psutil.Popen(command, stdin=subprocess.PIPE) as worker:
        yield worker
        with contextlib.suppress(psutil.NoSuchProcess):
            worker.kill()


@pytest.fixture
def sweep(tmp_path: Path, process: psutil.Popen) -> Manifest:
    """Run 0 is over, run 1 under way, run 2 has not begun."""
    manifest = put_sweep(tmp_path / "sweep", 3, max_retries=2)
    put_run(manifest.folder / "0", "finished")
    put_run(manifest.folder / "1", "running", job=str(process.pid))
    host = socket.gethostname()
    manifest.jobs = [SweepJob(str(process.pid), [0, 1, 2], host, process=identify(process.pid))]
    manifest.write()
    return manifest


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """What happens at each sleep, in order; nobody really sleeps."""
    steps: list[Callable[[], None]] = []
    monkeypatch.setattr(
        "gsnr_sweep.cli.commands.cancel.time.sleep", lambda _: steps.pop(0)() if steps else None
    )
    return steps


def _state(manifest: Manifest, index: int) -> tuple[str, str]:
    status = read_status(manifest.folder / str(index))
    assert status is not None
    return status.state, status.message


@pytest.mark.parametrize("states", [("finished", "failed"), ("finished", "interrupted")])
def test_a_sweep_that_is_over_is_left_as_it_is(tmp_path: Path, states: tuple[str, ...]) -> None:
    manifest = put_sweep(tmp_path / "sweep", 2)
    manifest.jobs = [dead_job(0, 1)]
    manifest.write()
    for index, state in enumerate(states):
        put_run(manifest.folder / str(index), state)
    before = listing(tmp_path)
    assert _cancel(manifest) == "Sweep 0a1b2c3d is over: there is nothing to stop.\n"
    assert listing(tmp_path) == before


def test_runs_are_asked_to_stop_and_waited_for(
    sweep: Manifest, slept: list[Callable[[], None]], process: psutil.Popen
) -> None:
    asked: list[bool] = []

    def stop() -> None:
        asked.append(sweep.stop_file.exists())
        assert process.is_running()
        put_status(sweep.folder / "1", "interrupted", message="Stopped at epoch 4 of 10")

    slept += [lambda: None, lambda: None, stop]
    out = _cancel(sweep)
    assert asked == [True]
    assert _state(sweep, 1) == ("interrupted", "Stopped at epoch 4 of 10")
    assert "Sweep 0a1b2c3d is stopped with 1 of 3 runs done." in out
    assert "The same command goes on from here: python launch.py" in out
    assert process.wait(60) < 0  # whatever is left of the jobs is ended


def test_runs_that_do_not_stop_are_ended(
    sweep: Manifest, process: psutil.Popen, slept: list[Callable[[], None]]
) -> None:
    slept.append(lambda: pytest.fail("there is nothing to wait for"))
    _cancel(sweep, 0.0)
    assert process.wait(60) < 0
    assert _state(sweep, 0)[0] == "finished"
    assert _state(sweep, 1) == ("killed", "the sweep was cancelled")
    assert read_status(sweep.folder / "2") is None
    assert sweep.stop_file.exists()


def test_runs_are_closed_in_mlflow(
    sweep: Manifest, store: MlflowClient, process: psutil.Popen, tmp_path: Path
) -> None:
    parent = store.create_run("0").info.run_id
    sweep.uri, sweep.parent_run_id = store.tracking_uri, parent
    sweep.launch_folder = str(tmp_path)
    cfg = tiny_config(f"tracking.uri={store.tracking_uri}")
    put_run(sweep.folder / "1", "running", cfg=cfg, job=str(process.pid))
    child = send(sweep.folder / "1")
    assert store.get_run(child).info.status == "RUNNING"
    _cancel(sweep, 0.0)
    assert store.get_run(parent).info.status == "KILLED"
    run = store.get_run(child)
    assert (run.info.status, run.data.tags["gsnr.state"]) == ("KILLED", "killed")


def test_runs_of_other_launches_are_left_alone(sweep: Manifest, tmp_path: Path) -> None:
    put_run(tmp_path / "other", "running")
    sweep.runs[2].action, sweep.runs[2].folder = "elsewhere", "../other"
    _cancel(sweep, 0.0)
    status = read_status(tmp_path / "other")
    assert status is not None
    assert status.state == "running"
