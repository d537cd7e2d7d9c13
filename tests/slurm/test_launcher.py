"""Sweeps on a real SLURM: packed, broken, disturbed, too many for one array, detached, refused.

All sweeps are launched side by side in the background, since most of their time is waiting; a test
judges what came of one. Runs that must still be under way when something happens to them crawl
until a gate is opened: that costs no processor.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from gsnr_sweep.records.leases import Lease, last_lease, standing
from gsnr_sweep.records.manifest import Manifest
from gsnr_sweep.records.record import RunRecord
from gsnr_sweep.records.sent import read_sent
from gsnr_sweep.records.status import Status, read_status
from gsnr_sweep.runs.runner import run_point
from tests.conftest import ROOT, Launched, tiny_config
from tests.slurm.cluster import Cluster

pytestmark = pytest.mark.slow

MODELS = '''
import os
import signal
import time
from pathlib import Path

from gsnr_sweep.models.mlp import MLP

HERE = Path(__file__).parent
IN_A_JOB = "SLURM_JOB_ID" in os.environ


def crawl():
    """Take long until there is a file `gate`."""
    if IN_A_JOB and not (HERE / "gate").exists():
        time.sleep(0.1)


class Telling(MLP):
    """Leaves a file for each process of a job, with the GPUs that it sees."""

    def __init__(self, ch, input_shape, n_outputs):
        super().__init__(ch, input_shape, n_outputs)
        if IN_A_JOB:
            process = os.environ["SLURM_ARRAY_TASK_ID"] + "." + os.environ["SLURM_PROCID"]
            gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "none")
            (HERE / ("gpus." + process)).write_text(gpus)


class Patient(MLP):
    """Crawls."""

    def __init__(self, ch, input_shape, n_outputs):
        super().__init__(ch, input_shape, n_outputs)

    def forward(self, x):
        crawl()
        return super().forward(x)


class Late(MLP):
    """Crawls; in the first process of a job, until there is a file `gate.0`."""

    def __init__(self, ch, input_shape, n_outputs):
        super().__init__(ch, input_shape, n_outputs)

    def forward(self, x):
        if os.environ.get("SLURM_PROCID") != "0" or not (HERE / "gate.0").exists():
            crawl()
        return super().forward(x)


class Fragile(MLP):
    """Breaks, crawls, or is well, each width in its own way; well everywhere but in a job."""

    def __init__(self, ch, input_shape, n_outputs):
        super().__init__(ch, input_shape, n_outputs)
        self.ch = ch

    def forward(self, x):
        if IN_A_JOB and self.ch == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        if IN_A_JOB and self.ch == 2 and not (HERE / "died").exists():
            (HERE / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if IN_A_JOB and self.ch == 4:
            raise KeyError("colour")
        if self.ch in (5, 6):
            crawl()
        return super().forward(x)
'''
MOODY_SBATCH = """#!/bin/bash
# Stands in for sbatch; its second call meets a controller that is not there.
echo call >>"$0.calls"
if [ "$(wc -l <"$0.calls")" = 2 ]; then
  echo "sbatch: error: Unable to contact slurm controller (connect failure)" >&2
  exit 1
fi
exec "$(PATH=${PATH#*:} command -v sbatch)" "$@"
"""
TOY = ("data=toy", "n=60", "n_sets=2", "n_test=50")
SLURM = ("hydra/launcher=slurm", "hydra.launcher.poll_s=1")
LOW = (*SLURM, "hydra.launcher.partition=low")

SECONDS = 120

Numbers = list[tuple[int, dict[str, float]]]


@dataclass(frozen=True)
class Processes:
    """Launchers in the background, and whether they are still wanted."""

    over: threading.Event = field(default_factory=threading.Event)
    launched: list[subprocess.Popen[str]] = field(default_factory=list)

    def stop(self) -> None:
        self.over.set()
        for process in self.launched:
            process.kill()


@dataclass(frozen=True)
class Place:
    """A folder from which sweeps are launched on a cluster."""

    cluster: Cluster
    folder: Path
    processes: Processes = field(repr=False)

    @property
    def environment(self) -> dict[str, str]:
        ours = ("SLURM_", "SBATCH_", "MLFLOW_", "GSNR_")
        outside = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
        path = f"{self.folder / 'bin'}:{self.cluster.environment['PATH']}"
        own = {"PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "160"}
        return {**outside, **self.cluster.environment, **own}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "launch.py"), "-m", *TOY, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.launched.append(process)
        return process

    def finish(self, process: subprocess.Popen[str]) -> Launched:
        try:
            out, err = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            pytest.fail(f"the launcher hangs:\n{out}\n{err}\n{self.cluster.states()}")
        return Launched(process.returncode, out, err, self.folder)

    def launch(self, *arguments: str) -> Launched:
        return self.finish(self.start(*arguments))

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``python -m gsnr_sweep``."""
        return subprocess.run(
            [sys.executable, "-m", "gsnr_sweep", *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def open_gate(self, name: str = "gate") -> None:
        (self.folder / name).touch()

    def wait_for(self, what: str, found: Callable[[], object]) -> None:
        end = time.monotonic() + SECONDS
        while not found():
            assert not self.processes.over.is_set(), "the tests are over"
            assert time.monotonic() < end, f"waited in vain for {what}: {self.cluster.states()}"
            time.sleep(0.1)

    def manifest(self) -> Manifest:
        """Read the latest sweep's."""
        return Manifest.read(max(self.folder.glob("multirun/*/*/sweep.json")).parent)

    def run_folder(self, index: int) -> Path:
        manifest = self.manifest()
        return manifest.folder_of(manifest.runs[index])

    def state(self, index: int) -> str:
        if not any(self.folder.glob("multirun/*/*/sweep.json")):
            return "unknown"
        return standing(self.run_folder(index)).state

    def status(self, index: int) -> Status:
        status = read_status(self.run_folder(index))
        assert status is not None
        return status

    def lease(self, index: int) -> Lease:
        lease = last_lease(self.run_folder(index))
        assert lease is not None
        return lease

    def attempts(self, index: int) -> int:
        """Return how often a run was tried, as far as it got under way."""
        return self.status(index).attempt

    def measured(self, index: int, times: int) -> bool:
        with contextlib.suppress(OSError, ValueError):
            return len(self.record(index).measurements) >= times
        return False

    def job_of(self, index: int) -> str:
        """Return the SLURM job that works or worked on a run."""
        return self.lease(index).job

    def queue(self) -> list[str]:
        """Return the jobs submitted here that are not over."""
        lines = self.cluster.output("squeue", "-h", "-r", "-o", "%i %Z").splitlines()
        return [line.split()[0] for line in lines if line.split()[1] == str(self.folder)]

    def record(self, index: int) -> RunRecord:
        return RunRecord.read(self.run_folder(index) / "record.json")

    def numbers(self, index: int) -> Numbers:
        return numbers(self.record(index))

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(f"sqlite:///{self.folder / 'mlflow.db'}")

    def history(self, index: int, names: Iterable[str]) -> dict[str, list[int]]:
        """Return the epochs at which MLflow has values of a run's metrics."""
        run_id, client = read_sent(self.run_folder(index)).run_id, self.client
        found = {name: client.get_metric_history(run_id, name) for name in names}
        return {name: sorted(m.step for m in history) for name, history in found.items()}

    def tracked(self) -> list[Run]:
        ids = [e.experiment_id for e in self.client.search_experiments()]
        return list(self.client.search_runs(ids))


def model(name: str) -> tuple[str, str]:
    return ("model=custom", f"model._target_=models.{name}")


def numbers(record: RunRecord) -> Numbers:
    return [(m.epoch, m.metrics) for m in record.measurements]


def undisturbed(folder: Path, *overrides: str) -> Numbers:
    """What such a network gives in this process, from the first epoch to the last."""
    calm = ("model=custom", "model._target_=tests.slurm.calm.Calm")
    cfg = tiny_config(*TOY, "tracking=none", *calm, *overrides)
    return numbers(run_point(cfg, Path(mkdtemp(dir=folder))).record)


def pre_empt(slurm: Cluster, job: str) -> None:
    """Let something more urgent need a job's node for a moment."""
    node = slurm.output("squeue", "-h", "-j", job, "-o", "%N")
    slurm.submit("sleep 1", "--partition=high", "--ntasks=2", f"--nodelist={node}")


def name_of(ch: int) -> str:
    return f"n=60 ch={ch} p=0.0 eta=0.2"


def statuses(place: Place) -> dict[str, str]:
    """The status of each run in MLflow, by name; the sweep's is ``sweep``."""
    kinds = {run.info.run_id: run.data.tags["gsnr.kind"] for run in place.tracked()}
    return {
        "sweep" if kinds[run.info.run_id] == "sweep" else str(run.info.run_name): run.info.status
        for run in place.tracked()
    }


def told(err: str) -> dict[str, tuple[str, list[str]]]:
    """What is said of each failed run: its line, and the lines of its log."""
    found: dict[str, tuple[str, list[str]]] = {}
    name = ""
    for line in err.splitlines()[1:]:
        if line.startswith("      | "):
            found[name][1].append(line.removeprefix("      | "))
        else:
            name = line.strip().partition(": ")[0]
            found[name] = (line.strip(), [])
    return found


def log_of(ended: Launched, line: str) -> Path:
    return ended.folder / line.rpartition("(log: ")[2].rstrip(")")


# --- the sweeps

LONG = ("ch=3", "epochs=1500", "measure_at=[0,3,700,1500]")
GRID = ("ch=3", "epochs=40", "measure_at=[0,20,40]", "n=20,40,60,80,100,120")
BREAKING = ("epochs=400", "measure_at=[0,400]", "hydra.launcher.max_retries=1")
PAIRS = ("hydra.launcher.runs_per_job=2", "hydra.launcher.workers=2")
ALONE = "+hydra.launcher.sbatch.exclusive=true"
DETACH = "hydra.launcher.detach=true"
QUICK, SLOW = 0, 1


@dataclass
class Ended:
    """A sweep that was launched and watched to its end."""

    place: Place
    launched: Launched


def disturb(place: Place) -> Ended:
    """Two runs in two jobs: one is pre-empted, the other's time is nearly up."""
    delay = "hydra.launcher.signal_delay_s=30"
    launched = place.start(*model("Patient"), *LONG, "seed=0,1", *LOW, ALONE, delay)
    place.wait_for("both runs", lambda: place.measured(0, 2) and place.measured(1, 2))
    pre_empt(place.cluster, place.job_of(0))
    place.cluster.set_time_left(place.job_of(1), 35)
    place.wait_for("new attempts", lambda: min(place.attempts(0), place.attempts(1)) >= 2)
    place.open_gate()
    return Ended(place, place.finish(launched))


def break_runs(place: Place) -> Ended:
    """Widths 3 and 6 share a job, and 4 and 5: 3 is killed, 4 raises, 5's job is cancelled."""
    launched = place.start(*model("Fragile"), "ch=3,4,5,6", *BREAKING, *LOW, *PAIRS)
    place.wait_for("the dead run", lambda: place.state(0) == "killed")
    place.wait_for("the raising run", lambda: place.state(1) == "failed")
    place.wait_for("others", lambda: place.state(2) == place.state(3) == "running")
    place.cluster.run("scancel", place.job_of(2))
    place.wait_for("the cancelled job's end", lambda: place.state(2) == "killed")
    place.open_gate()
    return Ended(place, place.finish(launched))


def break_unaccounted(place: Place) -> Ended:
    """As above with one run a job, and seven jobs; the one of width 2 is cancelled in the queue."""
    launched = place.start(*model("Fragile"), "ch=1,2,3,4,5,6,7", *BREAKING, *LOW)
    place.wait_for("the crawling run", lambda: place.state(4) == "running")
    (waiting,) = [job.id for job in place.manifest().jobs if job.runs == [1]]
    place.cluster.run("scancel", waiting)
    place.cluster.run("scancel", place.job_of(4))
    place.wait_for("the cancelled job's end", lambda: place.state(4) == "killed")
    place.open_gate()
    return Ended(place, place.finish(launched))


@dataclass
class Packed(Ended):
    """A sweep, the same on this machine, and the states of its jobs."""

    local: Launched
    manifest: Manifest
    on_cluster: list[Numbers]


def pack_runs(place: Place) -> Packed:
    """Six runs in two jobs, each of two processes that share one pretend GPU."""
    packing = ("hydra.launcher.gpus_per_node=1", "hydra.launcher.runs_per_job=3")
    command = (*model("Telling"), *GRID)
    launched = place.launch(*command, *LOW, *packing, "hydra.launcher.workers=2")
    manifest, found = place.manifest(), [place.numbers(index) for index in range(6)]
    options = ("rerun=true", "tracking=none", "hydra/launcher=local", "hydra.launcher.workers=1")
    local = place.launch(*command, *options)
    return Packed(place, launched, local, manifest, found)


@dataclass
class Detached:
    """One sweep that is left alone, looked at, cancelled, and launched again."""

    place: Place
    first: Launched
    state_at_return: str
    looks: dict[str, subprocess.CompletedProcess[str]]
    cancelled: Manifest
    jobs_left: list[str]
    ends: dict[str, str]
    again: Launched
    last: subprocess.CompletedProcess[str]


DETACHED = ("epochs=1000", "measure_at=[0,5,1000]")


def detach(place: Place) -> Detached:
    """Two runs one after the other in one job; the second crawls while everybody looks at it."""
    packing = ("hydra.launcher.runs_per_job=2", DETACH)
    command = (*model("Fragile"), "ch=7,6", *DETACHED, *LOW, *packing)
    first = place.launch(*command)
    state = place.state(SLOW)
    place.wait_for("the second run", lambda: place.measured(SLOW, 2))
    sweep = place.manifest()
    looks = {what: place.command(what, sweep.id) for what in ("status", "collect", "logs")}
    looks["cancel"] = place.command("cancel", sweep.id)
    left = place.queue()
    looks["status again"] = place.command("status", sweep.id)
    ends = statuses(place)
    place.open_gate()
    again = place.launch(*command)
    place.wait_for("the resumed run", lambda: place.state(SLOW) == "finished")
    last = place.command("collect")
    return Detached(place, first, state, looks, sweep, left, ends, again, last)


@dataclass
class Pair:
    """Two runs side by side in one job.

    Attributes:
        place: Where.
        done: The run that was finished when the job was pre-empted the second time.
        attempts: How often each run had been tried before that.
    """

    place: Place
    done: int
    attempts: list[int]


def pre_empt_pair(place: Place) -> Pair:
    """Pre-empt a job while both its processes work, and again when the first one has left.

    Detached, since a launcher that watches would submit a new job for a run that is left.
    """
    both = (0, 1)
    options = ("tracking=none", *LOW, *PAIRS, ALONE, DETACH)
    place.launch(*model("Late"), *LONG, "seed=0,1", *options)
    place.wait_for("both runs", lambda: all(place.measured(run, 2) for run in both))
    pre_empt(place.cluster, place.job_of(0))
    place.wait_for("both again", lambda: min(map(place.attempts, both)) >= 2)
    place.open_gate("gate.0")
    place.wait_for("the end of one", lambda: "finished" in map(place.state, both))
    done = next(run for run in both if place.state(run) == "finished")
    attempts = [place.attempts(run) for run in both]
    end = time.monotonic() + 8
    while place.lease(done).alive and time.monotonic() < end:
        time.sleep(0.1)  # its process may leave, but need not
    pre_empt(place.cluster, place.job_of(1 - done))
    place.wait_for("the other one's pause", lambda: place.state(1 - done) == "interrupted")
    place.open_gate()
    place.wait_for(
        "the other one's end", lambda: place.state(1 - done) == "finished" or not place.queue()
    )
    return Pair(place, done, attempts)


def refuse(place: Place) -> Ended:
    """More GPUs than any node has: SLURM says so only when a job is submitted."""
    return Ended(place, place.launch("ch=3", *LOW, "hydra.launcher.gpus_per_node=9"))


def submit_again(place: Place) -> Ended:
    """A run that dies once, so that a job is submitted again while SLURM does not answer."""
    sbatch = place.folder / "bin" / "sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text(MOODY_SBATCH)
    sbatch.chmod(0o755)
    return Ended(place, place.launch(*model("Fragile"), "ch=2", *BREAKING, *LOW))


SWEEPS: dict[str, Callable[[Place], object]] = {
    "disturbed": disturb,
    "pair": pre_empt_pair,
    "unaccounted": break_unaccounted,
    "broken": break_runs,
    "detached": detach,
    "packed": pack_runs,
    "refused": refuse,
    "moody": submit_again,
}
SIDE_BY_SIDE = 4


@pytest.fixture(scope="module")
def started(
    request: pytest.FixtureRequest,
    slurm: Cluster,
    slurm_without_accounting: Cluster,
    tmp_path_factory: pytest.TempPathFactory,
    migrated_store: Path,
) -> Iterator[dict[str, Future[object]]]:
    """The sweeps that the chosen tests want, a few at a time."""
    tests = [item for item in request.session.items if item.path == request.path]
    wanted = {name for item in tests for name in getattr(item, "fixturenames", ())}
    processes = Processes()
    pool = ThreadPoolExecutor(SIDE_BY_SIDE)
    futures = {}
    for name in (name for name in SWEEPS if name in wanted):
        cluster = slurm_without_accounting if name == "unaccounted" else slurm
        place = new_place(tmp_path_factory.mktemp(name), cluster, migrated_store, processes)
        futures[name] = pool.submit(SWEEPS[name], place)
    yield futures
    processes.stop()
    pool.shutdown(cancel_futures=True)
    for cluster in (slurm, slurm_without_accounting):
        cluster.cancel_all()


def new_place(folder: Path, cluster: Cluster, store: Path, processes: Processes) -> Place:
    shutil.copy(store, folder / "mlflow.db")
    (folder / "models.py").write_text(MODELS)
    return Place(cluster, folder, processes)


Started = dict[str, Future]  # type: ignore[type-arg]


@pytest.fixture(scope="module")
def packed(started: Started) -> Packed:
    return started["packed"].result()


@pytest.fixture(scope="module")
def broken(started: Started) -> Ended:
    return started["broken"].result()


@pytest.fixture(scope="module")
def unaccounted(started: Started) -> Ended:
    return started["unaccounted"].result()


@pytest.fixture(scope="module")
def detached(started: Started) -> Detached:
    return started["detached"].result()


@pytest.fixture(scope="module")
def pair(started: Started) -> Pair:
    return started["pair"].result()


@pytest.fixture(scope="module")
def refused(started: Started) -> Ended:
    return started["refused"].result()


@pytest.fixture(scope="module")
def moody(started: Started) -> Ended:
    return started["moody"].result()


@pytest.fixture(scope="module")
def disturbed(started: Started) -> Ended:
    return started["disturbed"].result()


# --- packing


def test_packed_runs_give_what_local_runs_give(packed: Packed) -> None:
    place, ended = packed.place, packed.launched
    assert (ended.code, ended.err) == (0, "")
    assert "[6/6]" in ended.out
    assert [[epoch for epoch, _ in run] for run in packed.on_cluster] == [[0, 20, 40]] * 6
    assert packed.local.code == 0
    assert place.manifest().backend == "local"
    assert [place.numbers(index) for index in range(6)] == packed.on_cluster
    assert len({json.dumps(run) for run in packed.on_cluster}) == 6


def test_runs_are_spread_over_jobs_by_their_cost(packed: Packed) -> None:
    manifest = packed.manifest
    assert manifest.backend == "slurm"
    shares = [[manifest.runs[index] for index in job.runs] for job in manifest.jobs]
    assert [len(share) for share in shares] == [3, 3]
    assert sorted(run.index for share in shares for run in share) == list(range(6))
    loads = [sum(run.cost for run in share) for share in shares]
    assert max(loads) < 1.25 * min(loads)
    for share in shares:
        assert [run.cost for run in share] == sorted((run.cost for run in share), reverse=True)
    array = {job.id.partition("_")[0] for job in manifest.jobs}
    assert len(array) == 1
    states = packed.place.cluster.states()
    assert {states[job.id] for job in manifest.jobs} == {"COMPLETED"}


def test_two_processes_share_a_gpu(packed: Packed) -> None:
    seen = {path.name: path.read_text() for path in packed.place.folder.glob("gpus.*")}
    assert set(seen) == {"gpus.0.0", "gpus.0.1", "gpus.1.0", "gpus.1.1"}
    assert seen["gpus.0.0"] == seen["gpus.0.1"] in ("0", "1")
    assert seen["gpus.1.0"] == seen["gpus.1.1"] in ("0", "1")


def test_packed_runs_are_children_of_the_sweep(packed: Packed) -> None:
    runs = packed.place.tracked()
    (parent,) = [run for run in runs if run.data.tags["gsnr.kind"] == "sweep"]
    children = [run for run in runs if run is not parent]
    assert len(children) == 6
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert {run.data.params["n"] for run in children} == {"20", "40", "60", "80", "100", "120"}


# --- runs and jobs that break


def test_failures_of_a_sweep_are_told(broken: Ended) -> None:
    ended = broken.launched
    assert ended.code == 1
    assert "Traceback" not in ended.out
    assert ended.err.startswith("gsnr-sweep: 3 of 4 runs failed; the others are complete.")
    found = told(ended.err)
    assert list(found) == [name_of(ch) for ch in (3, 4, 5)]
    reasons = {3: "SLURM: FAILED", 4: "KeyError: 'colour'", 5: "SLURM: CANCELLED"}
    for ch, reason in reasons.items():
        line, lines = found[name_of(ch)]
        assert reason in line
        assert log_of(ended, line).is_file()
        assert 1 <= len(lines) <= 6
    assert any("KeyError: 'colour'" in line for line in found[name_of(4)][1])


def test_neighbours_of_broken_runs_are_complete(broken: Ended) -> None:
    place = broken.place
    assert [place.attempts(index) for index in range(4)] == [2, 1, 1, 1]
    assert place.record(3).state == "finished"
    assert place.numbers(3) == undisturbed(place.folder, "ch=6", *BREAKING[:2])


def test_states_of_jobs_tell_of_broken_runs(broken: Ended) -> None:
    place = broken.place
    states = place.cluster.states()
    assert len(place.manifest().jobs) == 2
    assert states[place.job_of(0)] == states[place.job_of(3)] == "FAILED"
    assert states[place.job_of(1)] == states[place.job_of(2)] == "CANCELLED"


def test_no_broken_run_is_left_open_in_mlflow(broken: Ended) -> None:
    ends = {3: "KILLED", 4: "FAILED", 5: "KILLED", 6: "FINISHED"}
    found = statuses(broken.place)
    assert found == {"sweep": "FAILED", **{name_of(ch): end for ch, end in ends.items()}}


# --- a cluster without accounts, with arrays of 5 at most


def test_more_jobs_than_an_array_may_have(unaccounted: Ended) -> None:
    jobs = unaccounted.place.manifest().jobs
    arrays = [job.id.partition("_")[0] for job in jobs]
    assert [arrays.count(array) for array in dict.fromkeys(arrays)][:2] == [5, 2]
    assert sorted(index for job in jobs[:7] for index in job.runs) == list(range(7))


def test_without_accounting_failures_are_told_too(unaccounted: Ended) -> None:
    ended = unaccounted.launched
    assert ended.code == 1
    assert "Traceback" not in ended.out
    assert ended.err.startswith("gsnr-sweep: 4 of 7 runs failed; the others are complete.")
    found = told(ended.err)
    assert list(found) == [name_of(ch) for ch in (2, 3, 4, 5)]
    assert "cancelled" in found[name_of(2)][0].lower()  # in the queue, or just out of it
    assert "SLURM: FAILED" in found[name_of(3)][0]
    assert "KeyError: 'colour'" in found[name_of(4)][0]
    assert "SLURM: CANCELLED" in found[name_of(5)][0]
    for ch in (3, 4, 5):
        line, lines = found[name_of(ch)]
        assert log_of(ended, line).is_file()
        assert lines


def test_without_accounting_a_killed_run_is_tried_again(unaccounted: Ended) -> None:
    place = unaccounted.place
    assert [job.runs for job in place.manifest().jobs[7:]] == [[2]]
    assert place.attempts(2) == 2
    assert [place.state(index) for index in (0, 5, 6)] == ["finished"] * 3


def test_without_accounting_no_run_is_left_open(unaccounted: Ended) -> None:
    found = statuses(unaccounted.place)
    assert found.pop("sweep") == "FAILED"
    assert found.pop(name_of(2), "KILLED") == "KILLED"  # if it got out of the queue in time
    ends = {3: "KILLED", 4: "FAILED", 5: "KILLED"} | dict.fromkeys((1, 6, 7), "FINISHED")
    assert found == {name_of(ch): end for ch, end in ends.items()}


# --- detached


def test_detached_launch_returns_before_the_runs_end(detached: Detached) -> None:
    assert (detached.first.code, detached.first.err) == (0, "")
    assert detached.state_at_return in ("waiting", "preparing", "running")
    assert f"Submitted as sweep {detached.cancelled.id}: 2 runs in 1 job" in detached.first.out


def test_detached_sweep_is_seen_from_another_process(detached: Detached) -> None:
    status = detached.looks["status"]
    assert status.returncode == 0, status.stderr
    assert "1 of 2 done: 1 finished, 1 running" in status.stdout
    assert "jobs: 1 running" in status.stdout
    (line,) = [line for line in status.stdout.splitlines() if name_of(6) in line]
    assert "running" in line
    assert "/1000" in line


def test_detached_sweep_is_collected_so_far(detached: Detached) -> None:
    collected = detached.looks["collect"]
    assert collected.returncode == 0, collected.stderr
    assert "osgr_lhs against osgr_rhs, 1 of 2 runs" in collected.stdout
    table = (detached.cancelled.folder / "table.csv").read_text().splitlines()
    assert len(table) == 1 + 3


def test_logs_of_a_detached_sweep_are_shown(detached: Detached) -> None:
    logs = detached.looks["logs"]
    assert logs.returncode == 0, logs.stderr
    assert f"{name_of(7)}: finished" in logs.stdout


def test_cancel_stops_a_detached_sweep_with_a_checkpoint(detached: Detached) -> None:
    cancel = detached.looks["cancel"]
    assert cancel.returncode == 0, cancel.stderr
    assert "is stopped with 1 of 2 runs done" in cancel.stdout
    assert detached.jobs_left == []
    assert "1 finished, 1 interrupted" in detached.looks["status again"].stdout
    assert detached.ends == {"sweep": "KILLED", name_of(7): "FINISHED", name_of(6): "KILLED"}


def test_same_command_resumes_a_cancelled_sweep(detached: Detached) -> None:
    place = detached.place
    assert (detached.again.code, detached.again.err) == (0, "")
    assert "1 finished before, 1 resumed from a checkpoint" in " ".join(detached.again.out.split())
    assert [run.action for run in place.manifest().runs] == ["reuse", "run"]
    assert 5 < place.status(SLOW).started_at < 1000
    assert place.numbers(SLOW) == undisturbed(place.folder, "ch=6", *DETACHED)
    assert detached.last.returncode == 0, detached.last.stderr
    parent = place.client.get_run(place.manifest().parent_run_id)
    assert parent.info.status == "FINISHED"


# --- refused


def test_unknown_partition_is_told_with_those_there_are(
    slurm: Cluster, tmp_path: Path, migrated_store: Path
) -> None:
    place = new_place(tmp_path, slurm, migrated_store, Processes())
    ended = place.launch("ch=3", *SLURM, "hydra.launcher.partition=nowhere")
    assert ended.code == 1
    (line,) = ended.err.splitlines()
    assert line.startswith("gsnr-sweep: hydra.launcher.partition=nowhere: ")
    assert "There is: cpu, high, low." in line
    assert place.queue() == []
    assert not (tmp_path / "multirun").exists()
    assert place.tracked() == []


def test_what_slurm_refuses_is_told_in_a_sentence(refused: Ended) -> None:
    ended = refused.launched
    assert ended.code == 1
    (line,) = ended.err.splitlines()
    assert line.startswith("gsnr-sweep: SLURM did not take the jobs: ")
    assert "Requested node configuration is not available" in line


def test_a_refused_sweep_leaves_nothing_open(refused: Ended) -> None:
    assert refused.place.queue() == []
    assert "RUNNING" not in statuses(refused.place).values()


def test_sweep_outlives_a_moment_without_slurm(moody: Ended) -> None:
    place, ended = moody.place, moody.launched
    assert (place.folder / "bin" / "sbatch.calls").read_text().count("call") == 3
    assert (ended.code, place.state(0), place.attempts(0)) == (0, "finished", 2), ended.err
    assert statuses(place) == {"sweep": "FINISHED", name_of(2): "FINISHED"}


# --- pre-empted, and out of time


def test_both_runs_of_a_pre_empted_job_go_on(pair: Pair) -> None:
    place = pair.place
    assert pair.attempts == [2, 2]
    assert place.status(pair.done).started_at >= 3
    expected = undisturbed(place.folder, *LONG, f"seed={pair.done}")
    assert place.numbers(pair.done) == expected


def test_job_whose_first_process_has_left_is_requeued_too(pair: Pair) -> None:
    place, run = pair.place, 1 - pair.done
    assert place.state(run) == "finished"
    assert len(place.manifest().jobs) == 1
    assert place.attempts(run) == 3
    assert place.numbers(run) == undisturbed(place.folder, *LONG, f"seed={run}")


def test_disturbed_runs_go_on_to_the_same_numbers(disturbed: Ended) -> None:
    place, ended = disturbed.place, disturbed.launched
    assert (ended.code, ended.err) == (0, "")
    for index in (0, 1):
        assert 3 <= place.status(index).started_at < 1500
        expected = undisturbed(place.folder, *LONG, f"seed={index}")
        assert place.numbers(index) == expected


def test_disturbed_jobs_are_requeued_not_replaced(disturbed: Ended) -> None:
    place = disturbed.place
    assert len(place.manifest().jobs) == 2
    for index in (0, 1):
        lease = place.lease(index)
        assert lease.restart == lease.number - 1 >= 1
        assert lease.failures == 0


def test_disturbed_runs_are_tracked_once(disturbed: Ended) -> None:
    place = disturbed.place
    children = [run for run in place.tracked() if run.data.tags["gsnr.kind"] == "run"]
    assert len(children) == 2
    assert {run.info.status for run in place.tracked()} == {"FINISHED"}
    for index in (0, 1):
        wanted: dict[str, list[int]] = {}
        for epoch, metrics in place.numbers(index):
            for name in metrics:
                wanted.setdefault(name, []).append(epoch)
        assert wanted["osgr_lhs"] == [0, 3, 700, 1500]
        assert place.history(index, wanted) == wanted
