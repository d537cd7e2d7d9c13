"""The tests' own SLURM does what tests of the launcher count on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster, running_cluster

pytestmark = pytest.mark.slow

# Writes each signal it gets, with the restart count, to the job's output.
LISTENER = """
import os, signal, time
restart = os.environ.get("SLURM_RESTART_COUNT", "0")
def tell(number, frame):
    print(restart, signal.Signals(number).name, flush=True)
    if os.environ.get("REQUEUE"):
        os.execlp("scontrol", "scontrol", "requeue", os.environ["SLURM_JOB_ID"])
signal.signal(signal.SIGUSR2, tell)
print(restart, "start", flush=True)
while True:
    time.sleep(0.1)
"""


def listen(slurm: Cluster, output: Path, *options: str) -> str:
    return slurm.submit(
        f"srun --output={output} --open-mode=append {sys.executable} -uc '{LISTENER}'",
        "--gpus-per-node=2",
        "--ntasks=1",
        "--cpus-per-task=2",
        *options,
    )


def wait_for_line(file: Path, line: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not file.exists() or line not in file.read_text().splitlines():
        assert time.monotonic() < end, f"no {line!r}: {file.read_text() if file.exists() else ''!r}"
        time.sleep(0.1)


@pytest.fixture(scope="module", autouse=True)
def late_jobs(
    slurm: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, tuple[str, Path]]]:
    """Jobs whose time is (nearly) over, made first because the controller notices late."""
    folder = tmp_path_factory.mktemp("late")
    jobs = {}
    for name, node, left in (("over", "n3", 1), ("nearly", "n4", 35)):
        output = folder / name
        job = listen(slurm, output, f"--nodelist={node}", "--signal=USR2@30")
        wait_for_line(output, "0 start", 60)
        slurm.set_time_left(job, left)
        jobs[name] = (job, output)
    yield jobs
    slurm.cancel_all()


@pytest.fixture(scope="module", autouse=True)
def ended_job(slurm_without_accounting: Cluster) -> str:
    """A job that ends at once, made first because the controller remembers it for a while."""
    job = slurm_without_accounting.submit("true")
    assert job in slurm_without_accounting.states()
    return job


def test_job_sees_the_gpus_it_was_given(slurm: Cluster, tmp_path: Path) -> None:
    job = slurm.submit(
        f"srun bash -c 'echo $CUDA_VISIBLE_DEVICES $SLURM_PROCID' | sort >{tmp_path}/out",
        "--gpus-per-node=2",
        "--ntasks=2",
        "--nodelist=n1",
    )
    slurm.wait_for(job, "COMPLETED")
    assert (tmp_path / "out").read_text() == "0,1 0\n0,1 1\n"


def test_pre_empted_job_is_warned_requeued_and_started_again(
    slurm: Cluster, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    options = ("--nodelist=n2", "--signal=USR2@30", "--export=ALL,REQUEUE=1")
    job = listen(slurm, output, *options)
    wait_for_line(output, "0 start", 15)
    urgent = slurm.submit("sleep 0.5", "--partition=high", "--nodelist=n2", "--ntasks=2")
    wait_for_line(output, "0 SIGUSR2", 10)
    slurm.wait_for(urgent, "COMPLETED")
    wait_for_line(output, "1 start", 20)
    slurm.run("scancel", job)


def test_array_over_the_limit_is_refused(slurm_without_accounting: Cluster) -> None:
    cluster = slurm_without_accounting
    array = cluster.submit("true", "--array=0-4")
    refused = cluster.run("sbatch", "--array=0-5", "--wrap=true")
    assert "Invalid job array specification" in refused.stderr
    cluster.wait_for(f"{array}_4", "COMPLETED")


def test_gpus_are_refused_where_there_are_none(slurm: Cluster) -> None:
    refused = slurm.run("sbatch", "--partition=cpu", "--gpus-per-node=1", "--wrap=true")
    assert refused.returncode != 0


def test_sacct_answers_only_with_accounting(
    slurm: Cluster, slurm_without_accounting: Cluster
) -> None:
    array = slurm.submit("sleep 60", "--array=1,2", "--partition=cpu")
    for task in (f"{array}_1", f"{array}_2"):
        slurm.wait_for(task, "RUNNING")
    slurm.run("scancel", f"{array}_2")
    slurm.wait_for(f"{array}_2", "CANCELLED")
    command = ("sacct", "-o", "JobID,State,NodeList", "--parsable2", "-j", array, "-j", "999")
    lines = slurm.output(*command).splitlines()
    assert lines[0] == "JobID|State|NodeList"
    assert set(lines[1:]) == {f"{array}_1|RUNNING|c1", f"{array}_2|CANCELLED by 0|c1"}
    slurm.run("scancel", array)

    failed = slurm_without_accounting.run(*command)
    assert failed.returncode != 0
    assert "accounting storage is disabled" in failed.stderr


def test_clusters_run_side_by_side_and_go_with_the_process_that_holds_them(slurm: Cluster) -> None:
    holder = """
from tests.slurm.cluster import running_cluster
with running_cluster(nodes=1) as cluster:
    job = cluster.submit("env -i sleep 7654321", "--partition=cpu")
    cluster.wait_for(job, "RUNNING")
    print(cluster.folder, flush=True)
    input()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", holder],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    folder = process.stdout.readline().strip()
    assert folder
    process.send_signal(signal.SIGKILL)
    process.wait()
    end = time.monotonic() + 60
    while left := processes_naming(folder, "7654321"):
        assert time.monotonic() < end, left
        time.sleep(0.1)
    while Path(folder).exists():
        assert time.monotonic() < end, list(Path(folder).iterdir())
        time.sleep(0.1)
    assert slurm.states()


def processes_naming(*words: str) -> list[str]:
    """Command lines of running processes in whose arguments or environment a word stands."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            told = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if int(process.name) != os.getpid() and any(word.encode() in told for word in words):
            found.append(told.decode(errors="replace")[:200])
    return found


def test_folder_of_a_stopped_cluster_is_gone() -> None:
    with running_cluster(nodes=1) as cluster:
        assert cluster.states() == {}
    assert not cluster.folder.exists()


def test_job_out_of_time_is_stopped(slurm: Cluster, late_jobs: dict[str, tuple[str, Path]]) -> None:
    job, _ = late_jobs["over"]
    slurm.wait_for(job, "COMPLETING", "TIMEOUT")
    slurm.wait_for(job, "TIMEOUT")


def test_job_short_of_time_is_warned(
    slurm: Cluster, late_jobs: dict[str, tuple[str, Path]]
) -> None:
    job, output = late_jobs["nearly"]
    wait_for_line(output, "0 SIGUSR2", 120)  # only a job that runs can write this
    assert slurm.states()[job] in {"RUNNING", "COMPLETING", "TIMEOUT"}


def test_ended_job_is_soon_forgotten_where_memory_is_short(
    slurm_without_accounting: Cluster, ended_job: str
) -> None:
    cluster, job = slurm_without_accounting, ended_job
    end = time.monotonic() + 180
    while job in cluster.states():
        assert time.monotonic() < end
        time.sleep(0.2)
