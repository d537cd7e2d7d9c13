"""Following a sweep on a backend that does as it is told, with runs that are only files."""

import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gsnr_sweep.launcher.backends.base import JobState
from gsnr_sweep.launcher.jobs import pack
from gsnr_sweep.launcher.monitor import Monitor, Outcome
from gsnr_sweep.launcher.worker import Worker
from gsnr_sweep.records.leases import PROCESS_DIED, close_killed, last_lease, take_lease
from gsnr_sweep.records.manifest import Manifest, SweepJob, SweepRun
from gsnr_sweep.records.status import read_status
from tests.fakes import put_claim, put_record, put_run, put_status, put_sweep

SECONDS = 120
RUNNING, PENDING, GONE = JobState("running"), JobState("pending"), JobState("gone")


@pytest.fixture(autouse=True)
def time_limit(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A watch that never ends is a failed test, and nobody sleeps meanwhile."""

    def over(*_: object) -> None:
        raise TimeoutError(f"the watch has not ended within {SECONDS} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(SECONDS)
    monkeypatch.setattr("gsnr_sweep.launcher.monitor.time.sleep", lambda _: None)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@dataclass
class FakeJob:
    """A job: at every look it takes the next step of its script, and stays in its last state."""

    worker: Worker
    id: str
    script: list[Callable[["FakeJob"], JobState]]
    state: JobState = RUNNING

    def step(self) -> JobState:
        if self.script:
            self.state = self.script.pop(0)(self)
        return self.state

    def folder(self, run: int) -> Path:
        return Path(self.worker.folder, str(run))


@dataclass
class FakeBackend:
    """Jobs whose lives are written down beforehand.

    Attributes:
        scripts: By job in the order of their submission; the last one holds for all further jobs.
        answers: Whether the controller answers; if it does not, all jobs count as running.
    """

    scripts: list[list[Callable[[FakeJob], JobState]]]
    jobs: list[FakeJob] = field(default_factory=list)
    cancelled: list[tuple[str, bool]] = field(default_factory=list)
    silent: int = 0
    seconds_between_looks: float = 0.0

    def submit(self, workers: Sequence[Worker]) -> list[SweepJob]:
        assert len(self.jobs) < 100, "jobs are submitted without end"
        made = []
        for worker in workers:
            script = self.scripts[min(len(self.jobs), len(self.scripts) - 1)]
            job = FakeJob(worker, f"j{len(self.jobs)}", list(script))
            self.jobs.append(job)
            made.append(SweepJob(job.id, worker.runs, "here"))
        return made

    def states(self, jobs: Sequence[SweepJob]) -> dict[str, JobState]:
        if self.silent > 0 and jobs:
            self.silent -= 1
            return {job.id: RUNNING for job in jobs}
        by_id = {job.id: job for job in self.jobs}
        return {job.id: by_id[job.id].step() for job in jobs}

    def cancel(self, jobs: Sequence[SweepJob], pending_only: bool = False) -> None:
        for job in self.jobs:
            if job.id in {one.id for one in jobs}:
                self.cancelled.append((job.id, pending_only))
                if not pending_only or job.state == PENDING:
                    job.script, job.state = [], JobState("gone", "cancelled", final=True)


@dataclass
class Sweep:
    """A sweep to be watched."""

    manifest: Manifest
    backend: FakeBackend
    killed: list[str] = field(default_factory=list)
    """Folders of the runs whose deaths were written down, in order."""
    looks: int = 0

    def monitor(self, shared: bool = True, at_once: int = 1, per_job: int = 1) -> Monitor:
        def make(runs: Sequence[SweepRun], most: int) -> list[Worker]:
            folder = str(self.manifest.folder)
            if shared:
                return [Worker(folder, [run.index for run in runs]) for _ in range(most)]
            return [Worker(folder, [run.index for run in job]) for job in pack(runs, per_job)]

        return Monitor(self.manifest, self.backend, make, shared, at_once)

    def follow(self, **options: object) -> dict[int, Outcome]:
        outcomes = list(self.monitor(**options).run(self._look))  # type: ignore[arg-type]
        found = {outcome.run.index: outcome for outcome in outcomes}
        assert len(found) == len(outcomes)  # nobody hears of a run's end twice
        assert set(found) == {run.index for run in self.manifest.to_run()}  # and of all
        return found

    def _look(self) -> None:
        self.looks += 1
        assert self.looks < 2000, "this goes on for ever"


MakeSweep = Callable[..., Sweep]


@pytest.fixture
def make_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeSweep:
    def make(n_runs: int, *scripts: list[Callable[[FakeJob], JobState]], retries: int = 2) -> Sweep:
        manifest = put_sweep(tmp_path / "sweep", n_runs, max_retries=retries)
        sweep = Sweep(manifest, FakeBackend(list(scripts)))

        def close(folder: Path, number: int, why: str = "") -> bool:
            if news := close_killed(folder, number, why):
                sweep.killed.append(folder.name)
            return news

        monkeypatch.setattr("gsnr_sweep.launcher.monitor.close_killed", close)
        return sweep

    return make


def _states(outcomes: dict[int, Outcome]) -> dict[int, str]:
    return {index: outcomes[index].state for index in sorted(outcomes)}


# --- what a job does between two looks


def take(
    run: int, state: str, alive: bool = True, **fields: object
) -> Callable[[FakeJob], JobState]:
    """Claim a run as a worker does, and bring it into a state."""

    def step(job: FakeJob) -> JobState:
        folder = job.folder(run)
        lease = take_lease(folder, job.id, 0, 9)
        assert lease is not None, f"run {run} is not to be had"
        put_claim(folder, lease.number, alive=alive, job=job.id, failures=lease.failures)
        put_status(folder, state, alive=alive, attempt=lease.number, **fields)  # type: ignore[arg-type]
        put_record(folder, state=state)
        return RUNNING

    return step


def take_if_free(
    state: str, max_retries: int = 2, alive: bool = True
) -> Callable[[FakeJob], JobState]:
    """Work through the list as a worker does: every run that can be had comes into a state."""

    def step(job: FakeJob) -> JobState:
        for run in job.worker.runs:
            lease = take_lease(job.folder(run), job.id, 0, max_retries)
            if lease is not None:
                put_run(
                    job.folder(run),
                    state,
                    number=lease.number,
                    job=job.id,
                    failures=lease.failures,
                    alive=alive,
                )
                if not alive:
                    return GONE
        return GONE

    return step


def be(state: JobState) -> Callable[[FakeJob], JobState]:
    return lambda job: state


def die_at(run: int, reason: str = "") -> list[Callable[[FakeJob], JobState]]:
    """A job whose process is killed in the middle of a run."""
    return [take(run, "running", alive=False), be(JobState("gone", reason))]


# --- on this machine: one list, jobs that stand in for each other


def test_a_sweep_that_goes_well(make_sweep: MakeSweep) -> None:
    sweep = make_sweep(5, [take_if_free("finished")])
    outcomes = sweep.follow(at_once=2)
    assert _states(outcomes) == dict.fromkeys(range(5), "finished")
    assert all(outcome.error == "" for outcome in outcomes.values())
    assert len(sweep.backend.jobs) == 2
    assert sweep.killed == []
    assert outcomes[3].folder == sweep.manifest.folder / "3"


def test_nothing_to_run_is_over_at_once(make_sweep: MakeSweep) -> None:
    sweep = make_sweep(2, [])
    for run in sweep.manifest.runs:
        run.action = "reuse"
    assert sweep.follow() == {}
    assert sweep.backend.jobs == []


def test_no_more_jobs_than_runs(make_sweep: MakeSweep) -> None:
    sweep = make_sweep(2, [take_if_free("finished")])
    sweep.follow(at_once=8)
    assert len(sweep.backend.jobs) == 2


def test_every_job_is_in_the_manifest(make_sweep: MakeSweep) -> None:
    """Whoever looks at the folder, from wherever, knows them."""
    sweep = make_sweep(3, die_at(0), [take_if_free("finished")])
    sweep.follow()
    assert [job.id for job in Manifest.read(sweep.manifest.folder).jobs] == ["j0", "j1"]


def test_a_worker_that_dies_is_replaced_and_its_run_tried_again(make_sweep: MakeSweep) -> None:
    sweep = make_sweep(3, die_at(0), [take_if_free("finished")])
    outcomes = sweep.follow()
    assert _states(outcomes) == dict.fromkeys(range(3), "finished")
    assert len(sweep.backend.jobs) == 2
    assert sweep.killed == ["0"]
    lease = last_lease(outcomes[0].folder)
    assert lease is not None
    assert (lease.number, lease.failures, lease.job) == (2, 1, "j1")


@pytest.mark.parametrize("retries", [0, 1, 2])
def test_a_run_that_kills_every_worker_is_given_up(make_sweep: MakeSweep, retries: int) -> None:
    """And is no reason to leave the others undone."""

    def work(job: FakeJob) -> JobState:
        if take_lease(job.folder(0), job.id, 0, retries) is not None:
            lease = last_lease(job.folder(0))
            assert lease is not None
            put_claim(job.folder(0), lease.number, alive=False, job=job.id, failures=lease.failures)
            put_status(job.folder(0), "running", alive=False, attempt=lease.number)
            return GONE
        return take_if_free("finished", retries)(job)

    sweep = make_sweep(3, [work], retries=retries)
    outcomes = sweep.follow()
    assert _states(outcomes) == {0: "killed", 1: "finished", 2: "finished"}
    assert outcomes[0].error == PROCESS_DIED
    assert sweep.killed == ["0"] * (1 + retries)
    lease = last_lease(outcomes[0].folder)
    assert lease is not None
    assert lease.number == 1 + retries
    status = read_status(outcomes[0].folder)
    assert status is not None
    assert status.state == "killed"


@pytest.mark.parametrize("at_once", [1, 3])
def test_jobs_that_never_get_as_far_as_a_run(make_sweep: MakeSweep, at_once: int) -> None:
    """A broken installation must not start processes for ever."""
    sweep = make_sweep(4, [be(GONE)])
    outcomes = sweep.follow(at_once=at_once)
    assert _states(outcomes) == dict.fromkeys(range(4), "waiting")
    assert all(o.error == "no job got as far as starting it" for o in outcomes.values())
    assert at_once < len(sweep.backend.jobs) <= 2 * at_once + sweep.manifest.max_retries + 1


def test_what_the_jobs_printed_that_started_nothing_is_at_hand(make_sweep: MakeSweep) -> None:
    sweep = make_sweep(1, [be(JobState("gone", "exit code 1"))])
    jobs = sweep.manifest.folder / "jobs"
    jobs.mkdir()
    (jobs / "j0_0_log.err").write_text("ImportError\n")
    (jobs / "j0_0_log.out").write_text("")
    for number in range(1, 9):
        (jobs / f"j{number}_0_log.err").write_text("ImportError\n")
    (outcome,) = sweep.follow().values()
    assert outcome.error == "exit code 1"
    last = len(sweep.backend.jobs) - 1
    assert jobs / f"j{last}_0_log.err" in outcome.logs


def test_jobs_without_fruit_do_not_count_after_one_with(make_sweep: MakeSweep) -> None:
    """Now and then a process dies early; that is no broken installation."""
    lives = [[be(GONE)], [be(GONE)], die_at(0)]
    sweep = make_sweep(4, *lives, *lives, *lives, [take_if_free("finished", 9)], retries=9)
    assert set(_states(sweep.follow()).values()) == {"finished"}


def test_a_worker_that_ends_early_is_replaced(make_sweep: MakeSweep) -> None:
    """It was asked to leave by something else than this sweep, after a checkpoint."""
    sweep = make_sweep(2, [take(0, "interrupted"), be(GONE)], [take_if_free("finished")], retries=0)
    assert _states(sweep.follow()) == {0: "finished", 1: "finished"}
    assert sweep.killed == []


def test_a_failure_is_the_end_of_a_run_not_of_the_sweep(make_sweep: MakeSweep) -> None:
    sweep = make_sweep(
        2, [take(0, "failed", message="KeyError: 'x'"), take(1, "diverged", message="lr"), be(GONE)]
    )
    outcomes = sweep.follow()
    assert {i: (o.state, o.error) for i, o in outcomes.items()} == {
        0: ("failed", "KeyError: 'x'"),
        1: ("diverged", "lr"),
    }
    assert len(sweep.backend.jobs) == 1


def test_a_failure_that_may_pass_is_tried_again(make_sweep: MakeSweep) -> None:
    sweep = make_sweep(
        1,
        [take(0, "failed", may_pass=True, message="MemoryError"), be(GONE)],
        [take_if_free("finished")],
    )
    (outcome,) = sweep.follow().values()
    assert outcome.state == "finished"


def test_a_failure_that_does_not_pass_after_all(make_sweep: MakeSweep) -> None:
    def fail(job: FakeJob) -> JobState:
        lease = take_lease(job.folder(0), job.id, 0, 2)
        if lease is not None:
            put_claim(job.folder(0), lease.number, job=job.id, failures=lease.failures)
            fields = {"attempt": lease.number, "may_pass": True, "message": "MemoryError"}
            put_status(job.folder(0), "failed", **fields)  # type: ignore[arg-type]
        return GONE

    sweep = make_sweep(1, [fail])
    (outcome,) = sweep.follow().values()
    assert (outcome.state, outcome.error) == ("failed", "MemoryError")
    lease = last_lease(outcome.folder)
    assert lease is not None
    assert lease.number == 3


def test_a_run_that_somebody_else_is_at_is_left_to_them(make_sweep: MakeSweep) -> None:
    """A process that is none of this sweep's jobs, such as one that was started by hand."""
    sweep = make_sweep(2, [take_if_free("finished")])
    put_run(sweep.manifest.folder / "0", "running", job="another")
    outcomes = sweep.follow(at_once=2)
    assert outcomes[1].state == "finished"
    assert outcomes[0].state == "running"
    assert sweep.killed == []
    status = read_status(outcomes[0].folder)
    assert status is not None
    assert status.state == "running"


def test_a_successor_is_not_closed_with_its_predecessor(make_sweep: MakeSweep) -> None:
    """Another process has taken over before the watch hears of the death."""

    def die(job: FakeJob) -> JobState:
        put_claim(job.folder(0), 1, alive=False, job=job.id)
        put_status(job.folder(0), "running", alive=False)
        return GONE

    def finish(job: FakeJob) -> JobState:
        put_record(job.folder(0))
        put_status(job.folder(0), "finished", attempt=2)
        return GONE

    quicker = [take(1, "finished"), take(0, "running"), be(RUNNING), finish]
    sweep = make_sweep(2, [take(0, "running"), die], quicker, [be(GONE)])
    assert _states(sweep.follow(at_once=2)) == {0: "finished", 1: "finished"}
    assert sweep.killed == []


def test_a_stop_file_ends_the_watch(make_sweep: MakeSweep) -> None:
    def stop(job: FakeJob) -> JobState:
        Path(job.worker.folder, "stop").touch()
        take(0, "interrupted", message="Stopped at epoch 3 of 9")(job)
        return RUNNING

    sweep = make_sweep(3, [stop, be(GONE)])
    outcomes = sweep.follow()
    assert _states(outcomes) == {0: "interrupted", 1: "waiting", 2: "waiting"}
    assert outcomes[0].error == "Stopped at epoch 3 of 9"
    assert outcomes[1].error == "no job got as far as starting it"
    assert len(sweep.backend.jobs) == 1


def test_logs_of_the_job_that_had_the_run(make_sweep: MakeSweep) -> None:
    sweep = make_sweep(
        2, die_at(0, "SLURM: OUT_OF_MEMORY"), [take_if_free("finished", 0)], retries=0
    )
    jobs = sweep.manifest.folder / "jobs"
    jobs.mkdir()
    for name in ("j0_0_log.err", "j0_0_log.out", "j1_0_log.err"):
        (jobs / name).write_text("text")
    outcomes = sweep.follow()
    assert outcomes[0].error == "SLURM: OUT_OF_MEMORY"
    assert outcomes[0].logs == (jobs / "j0_0_log.err", jobs / "j0_0_log.out")
    assert outcomes[1].logs == (jobs / "j1_0_log.err",)


# --- on a cluster: every job has its share


def _slurm(sweep: Sweep, per_job: int = 1) -> dict[int, Outcome]:
    return sweep.follow(shared=False, at_once=9, per_job=per_job)


def test_every_job_has_its_share(make_sweep: MakeSweep) -> None:
    sweep = make_sweep(5, [be(PENDING), be(RUNNING), take_if_free("finished")])
    assert set(_states(_slurm(sweep, 2)).values()) == {"finished"}
    assert sorted(run for job in sweep.backend.jobs for run in job.worker.runs) == list(range(5))
    assert len(sweep.backend.jobs) == 3


def test_what_a_dead_job_left_is_submitted_again(make_sweep: MakeSweep) -> None:
    sweep = make_sweep(4, die_at(0), [take_if_free("finished")])
    outcomes = _slurm(sweep, 2)
    assert set(_states(outcomes).values()) == {"finished"}
    first, second, third = sweep.backend.jobs
    assert set(third.worker.runs) == set(first.worker.runs)
    assert not set(second.worker.runs) & set(first.worker.runs)
    assert sweep.killed == ["0"]


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_jobs_that_die_before_they_begin_are_submitted_again_so_many_times(
    make_sweep: MakeSweep, retries: int
) -> None:
    sweep = make_sweep(1, [be(JobState("gone", "SLURM: NODE_FAIL"))], retries=retries)
    (outcome,) = _slurm(sweep).values()
    assert (outcome.state, outcome.error) == ("waiting", "SLURM: NODE_FAIL")
    assert len(sweep.backend.jobs) == 1 + retries


def test_jobs_that_are_interrupted_again_and_again_end_too(make_sweep: MakeSweep) -> None:
    """A job whose time is over and that the cluster does not start again."""
    sweep = make_sweep(1, [take(0, "interrupted", message="Stopped"), be(GONE)])
    (outcome,) = _slurm(sweep).values()
    assert outcome.state == "interrupted"
    assert len(sweep.backend.jobs) == 3


def test_a_job_that_is_cancelled_stays_cancelled(make_sweep: MakeSweep) -> None:
    cancelled = JobState("gone", "SLURM: CANCELLED", final=True)
    sweep = make_sweep(
        2, [take(0, "running", alive=False), be(cancelled)], [be(PENDING), be(cancelled)]
    )
    outcomes = _slurm(sweep)
    assert {i: (o.state, o.error) for i, o in outcomes.items()} == {
        0: ("killed", "SLURM: CANCELLED"),
        1: ("waiting", "SLURM: CANCELLED"),
    }
    assert len(sweep.backend.jobs) == 2


def test_a_task_that_vanishes_from_the_queue_was_cancelled(make_sweep: MakeSweep) -> None:
    """SLURM forgets it at once; without accounting nobody knows more."""
    sweep = make_sweep(1, [be(PENDING), be(PENDING), be(GONE)])
    (outcome,) = _slurm(sweep).values()
    assert (outcome.state, outcome.error) == ("waiting", "cancelled before it started")
    assert len(sweep.backend.jobs) == 1


def test_a_task_that_was_quicker_than_the_look_at_it_was_not_cancelled(
    make_sweep: MakeSweep,
) -> None:
    sweep = make_sweep(1, [be(PENDING), take_if_free("finished")])
    (outcome,) = _slurm(sweep).values()
    assert outcome.state == "finished"


def test_a_task_that_vanishes_while_it_runs_is_submitted_again(make_sweep: MakeSweep) -> None:
    sweep = make_sweep(1, [be(PENDING), be(RUNNING), be(GONE)], [take_if_free("finished")])
    (outcome,) = _slurm(sweep).values()
    assert outcome.state == "finished"
    assert len(sweep.backend.jobs) == 2


def test_a_controller_that_does_not_answer_is_waited_for(make_sweep: MakeSweep) -> None:
    """Nothing is known, so nothing is over and nothing is submitted."""
    sweep = make_sweep(2, [be(PENDING), take_if_free("finished")])
    sweep.backend.silent = 50
    assert set(_states(_slurm(sweep)).values()) == {"finished"}
    assert len(sweep.backend.jobs) == 2
    assert sweep.looks >= 50


def test_runs_end_while_the_controller_does_not_answer(make_sweep: MakeSweep) -> None:
    sweep = make_sweep(1, [])
    sweep.backend.silent = 10**9
    outcomes = sweep.monitor(shared=False).run(
        lambda: put_run(sweep.manifest.folder / "0", "finished")
    )
    assert [outcome.state for outcome in outcomes] == ["finished"]


def test_one_failed_job_of_many_is_no_reason_to_end(make_sweep: MakeSweep) -> None:
    broken = [be(JobState("gone", "SLURM: FAILED"))]
    sweep = make_sweep(3, broken, [take_if_free("finished")])
    assert set(_states(_slurm(sweep)).values()) == {"finished"}


# --- being stopped


def _watched(sweep: Sweep, looks: int, **options: object) -> Monitor:
    """A watch that has looked a few times, as it is when Ctrl-C comes."""
    monitor = sweep.monitor(**options)  # type: ignore[arg-type]
    seen = 0

    def look() -> None:
        nonlocal seen
        seen += 1
        if seen == looks:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(monitor.run(look))
    return monitor


def test_workers_are_asked_to_stop_and_waited_for(make_sweep: MakeSweep) -> None:
    sweep = make_sweep(2, [take(0, "running")])
    monitor = _watched(sweep, 3)
    polls = 0

    def look() -> None:
        nonlocal polls
        polls += 1
        assert sweep.manifest.stop_file.exists()
        if polls == 4:
            put_status(sweep.manifest.folder / "0", "interrupted", attempt=1, message="Stopped")

    monitor.stop(look, 60)
    assert polls == 4
    status = read_status(sweep.manifest.folder / "0")
    assert status is not None
    assert (status.state, status.message) == ("interrupted", "Stopped")
    assert sweep.killed == []
    assert sweep.backend.cancelled == [("j0", True), ("j0", False)]


def test_workers_that_do_not_stop_in_time_are_ended(make_sweep: MakeSweep) -> None:
    sweep = make_sweep(2, [take(0, "running")])
    monitor = _watched(sweep, 3)
    monitor.stop(lambda: None, 0.0)
    status = read_status(sweep.manifest.folder / "0")
    assert status is not None
    assert (status.state, status.message) == ("killed", "the sweep was stopped")
    assert sweep.killed == ["0"]
    assert read_status(sweep.manifest.folder / "1") is None


def test_jobs_in_the_queue_go_first(make_sweep: MakeSweep) -> None:
    sweep = make_sweep(2, [be(PENDING)], [take(1, "running")])
    monitor = _watched(sweep, 3, shared=False)
    monitor.stop(lambda: put_status(sweep.manifest.folder / "1", "interrupted", attempt=1), 60)
    assert sweep.backend.cancelled[:2] == [("j0", True), ("j1", True)]
    assert sweep.backend.jobs[0].state.final
    assert sweep.killed == []
