"""Who does the work of a sweep: how many processes and jobs, and what each is given."""

import os
import pickle
import socket
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from gsnr_sweep.launcher.backends.base import jobs_folder
from gsnr_sweep.launcher.backends.local import LocalBackend
from gsnr_sweep.launcher.backends.slurm import SlurmBackend
from gsnr_sweep.launcher.jobs import JobPool, backend_of, make_backend, own_path
from gsnr_sweep.launcher.settings import LocalSettings, Settings, SlurmSettings
from gsnr_sweep.records.manifest import Manifest, SweepJob, SweepRun
from gsnr_sweep.records.processes import identify
from tests.conftest import ROOT
from tests.fakes import (
    gone_pid,
    gone_process,
    job_command,
    process_elsewhere,
)


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of 8 cores and no GPU."""
    monkeypatch.setattr("gsnr_sweep.launcher.jobs.available_cores", lambda: 8)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)


def _manifest(folder: Path, *costs: float) -> Manifest:
    runs = [SweepRun(i, str(i), str(i), cost, folder=str(i)) for i, cost in enumerate(costs)]
    return Manifest("a", "b", folder, runs=runs)


def _crew(settings: Settings, *costs: float) -> JobPool:
    return JobPool(_manifest(Path("/sweep"), *costs), settings)


# --- on this machine


@pytest.mark.parametrize(
    ("settings", "n_runs", "at_once"),
    [
        ({}, 20, 8),
        ({}, 3, 3),
        ({}, 0, 0),
        ({"threads_per_worker": 3}, 20, 2),
        ({"threads_per_worker": 99}, 20, 1),
        ({"workers": 5}, 20, 5),
        ({"workers": 5, "threads_per_worker": 8}, 20, 5),
        ({"gpus": 2}, 20, 2),
        ({"gpus": [1, 3, 5]}, 20, 3),
        ({"gpus": 2, "workers": 6}, 20, 6),
        ({"gpus": 0}, 20, 8),
    ],
)
def test_how_many_processes_work_side_by_side(
    settings: dict[str, Any], n_runs: int, at_once: int
) -> None:
    job_pool = _crew(LocalSettings(**settings), *[1.0] * n_runs)
    assert (job_pool.at_once, job_pool.side_by_side) == (at_once, max(1, at_once))
    assert job_pool.shared


def test_all_gpus_that_are_visible_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    job_pool = _crew(LocalSettings(), *[1.0] * 9)
    assert job_pool.at_once == 3
    workers = job_pool.workers(job_pool._manifest.runs, 3)
    assert [(worker.gpus, worker.slot) for worker in workers] == [([0, 1, 2], i) for i in range(3)]
    assert job_pool.describe() == "3 processes of 1 thread on this machine, GPUs 0, 1, 2"


def test_processes_of_this_machine_share_one_list() -> None:
    """The costliest first, so that none is left with it at the end."""
    job_pool = _crew(LocalSettings(workers=2, threads_per_worker=3, runs_per_job=7), 1, 9, 5)
    first, second = job_pool.workers(job_pool._manifest.runs, 2)
    assert first.runs == second.runs == [1, 2, 0]
    assert (first.folder, first.threads, first.limit) == ("/sweep", 3, 7)
    assert (first.slot, second.slot) == (0, 1)
    assert job_pool.describe() == "2 processes of 3 threads on this machine"


def test_whose_memory_they_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gsnr_sweep.launcher.jobs.memory_limit", lambda: 7 * 10**9)
    crew = _crew(LocalSettings(workers=3), 1, 2, 3, 4)
    assert crew.memory == 7 * 10**9
    crew.sharing_memory = 3  # they may not fit together
    assert [worker.sharing_memory for worker in crew.workers(crew._manifest.runs, 3)] == [3] * 3
    assert _crew(LocalSettings(workers=3, gpus=1), 1, 2).memory is None
    assert _crew(SlurmSettings(), 1, 2).memory is None


def test_only_what_is_to_be_run_is_counted() -> None:
    manifest = _manifest(Path("/sweep"), *[1.0] * 6)
    for run in manifest.runs[2:]:
        run.action = "reuse"
    job_pool = JobPool(manifest, LocalSettings(workers=5))
    assert job_pool.at_once == 2
    assert set(job_pool.job_numbers()) == {0, 1}


def test_jobs_are_numbered_as_they_would_be_worked_off() -> None:
    job_pool = _crew(LocalSettings(workers=2), 4, 3, 2, 1)
    numbers = job_pool.job_numbers()
    assert set(numbers.values()) == {1, 2}
    loads = {n: sum(4 - i for i in numbers if numbers[i] == n) for n in (1, 2)}
    assert loads == {1: 5, 2: 5}


# --- on a cluster


@pytest.mark.parametrize(
    ("settings", "n_runs", "jobs", "side_by_side"),
    [
        ({}, 5, 5, 5),
        ({"workers": 3}, 7, 3, 9),
        ({"runs_per_job": 4}, 10, 3, 3),
        ({"workers": 2, "runs_per_job": 4}, 10, 3, 6),
        ({"array_parallelism": 2}, 5, 5, 2),
        ({"array_parallelism": 9, "workers": 2}, 4, 2, 4),
        ({}, 0, 0, 1),
    ],
)
def test_jobs_of_a_cluster(
    settings: dict[str, Any], n_runs: int, jobs: int, side_by_side: int
) -> None:
    job_pool = _crew(SlurmSettings(**settings), *[1.0] * n_runs)
    assert (job_pool.at_once, job_pool.side_by_side, job_pool.shared) == (jobs, side_by_side, False)
    workers = job_pool.workers(job_pool._manifest.runs, 0)
    assert len(workers) == jobs
    assert sorted(run for worker in workers for run in worker.runs) == list(range(n_runs))
    if n_runs:
        assert job_pool.describe().startswith(f"{jobs} job")


def test_a_job_of_a_cluster() -> None:
    settings = SlurmSettings(
        workers=2, runs_per_job=5, threads_per_worker=4, partition="gpu", gpus_per_node=2
    )
    job_pool = _crew(settings, *range(5))
    (worker,) = job_pool.workers(job_pool._manifest.runs, 0)
    assert worker.runs == [4, 3, 2, 1, 0]
    assert (worker.threads, worker.gpus, worker.limit) == (4, [0, 1], None)
    assert worker.grace == settings.signal_delay_s - 15
    assert job_pool.describe() == "1 job of 2 processes of 4 threads on SLURM, partition gpu"


def test_a_single_gpu_of_a_job_needs_no_choice() -> None:
    (worker,) = _crew(SlurmSettings(gpus_per_node=1), 1.0).workers([SweepRun(0, "", "")], 0)
    assert worker.gpus == []


def test_there_is_always_a_little_time_for_the_checkpoint() -> None:
    (worker,) = _crew(SlurmSettings(signal_delay_s=10), 1.0).workers([SweepRun(0, "", "")], 0)
    assert worker.grace == 5


# --- what jobs need


def test_workers_survive_pickling() -> None:
    (worker,) = _crew(LocalSettings(workers=1), 1.0).workers([SweepRun(0, "", "")], 1)
    assert pickle.loads(pickle.dumps(worker)) == worker


def test_jobs_find_the_modules_that_the_launcher_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the Python installation they find by themselves."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), "", *sys.path, str(tmp_path), "/no/such"])
    monkeypatch.chdir(tmp_path)
    found = own_path()
    assert found[:2] == [str(ROOT), str(tmp_path)]
    assert len(found) == len(set(found))
    assert "/no/such" not in found
    libraries = Path(torch.__file__).parents[1]
    assert str(libraries) not in found
    assert all(Path(entry).is_absolute() for entry in found)


def test_backends(tmp_path: Path) -> None:
    assert isinstance(make_backend(tmp_path, LocalSettings()), LocalBackend)
    assert isinstance(make_backend(tmp_path, SlurmSettings()), SlurmBackend)
    for place, cls in (("local", LocalBackend), ("slurm", SlurmBackend)):
        manifest = Manifest("a", "b", tmp_path, backend=place)
        assert isinstance(backend_of(manifest), cls)
    assert JobPool.place(LocalSettings()) == "local"
    assert JobPool.place(SlurmSettings()) == "slurm"


# --- processes of this machine


def _job(pid: int, process: str = "") -> SweepJob:
    return SweepJob(str(pid), [0], socket.gethostname(), 1000.0, process or identify(pid))


def test_states_of_processes(tmp_path: Path) -> None:
    own = os.getpid()
    jobs = {"running": _job(own), "gone": _job(gone_pid())}
    states = LocalBackend(tmp_path).states(list(jobs.values()))
    assert {name: states[job.id].phase for name, job in jobs.items()} == {
        "running": "running",
        "gone": "gone",
    }
    later = _job(own, gone_process())  # the number has been given to another process
    assert LocalBackend(tmp_path).states([later])[later.id].phase == "gone"
    assert LocalBackend(tmp_path).states([]) == {}


def test_only_the_sweeps_own_processes_are_killed(tmp_path: Path) -> None:
    """A process with the same number on another machine, or at another time, is not ours."""
    with psutil.Popen(job_command(tmp_path, "input()"), stdin=-1) as process:
        backend, ours = LocalBackend(tmp_path), _job(process.pid)
        backend.cancel([_job(process.pid, process_elsewhere())])
        backend.cancel([_job(process.pid, gone_process(process.pid))])
        backend.cancel([ours], pending_only=True)
        backend.cancel([_job(gone_pid())])
        time.sleep(0.05)
        assert process.poll() is None
        backend.cancel([ours])
        assert process.wait(60) < 0


@pytest.mark.parametrize("sweep", ["", "another"])
def test_a_process_that_is_no_job_of_the_sweep_is_not_killed(tmp_path: Path, sweep: str) -> None:
    """Whatever a manifest says: number, host and start fit, and yet it is somebody's editor."""
    plain = [sys.executable, "-c", "input()", str(tmp_path / "jobs")]
    command = job_command(tmp_path / sweep, "input()") if sweep else plain
    with psutil.Popen(command, stdin=-1) as process:
        LocalBackend(tmp_path).cancel([_job(process.pid)])
        time.sleep(0.05)
        assert process.poll() is None
        process.kill()


@pytest.mark.parametrize("text", ["--user=root", "", "0", "-1", "1_0", "12a", "9" * 30])
def test_what_is_no_process_number_is_gone(tmp_path: Path, text: str) -> None:
    job = SweepJob(text, [0], socket.gethostname(), process=identify())
    assert LocalBackend(tmp_path).states([job])[text].phase == "gone"
    LocalBackend(tmp_path).cancel([job])


def test_what_is_executed_only_its_owner_may_write(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs").chmod(0o777)
    assert jobs_folder(tmp_path).stat().st_mode & 0o777 == 0o755


def test_a_process_is_killed_with_its_children(tmp_path: Path) -> None:
    script = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    with psutil.Popen(job_command(tmp_path, script), stdin=-1) as process:
        while not process.children():
            pass
        (child,) = process.children()
        LocalBackend(tmp_path).cancel([_job(process.pid)])
        psutil.wait_procs([child], timeout=60)
        assert process.wait(60) < 0
        assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
