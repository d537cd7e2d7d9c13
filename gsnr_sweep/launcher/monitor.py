"""Following the runs of a sweep to their end, and replacing the jobs that die on the way.

All that is known comes from the runs' folders and from the backend; a launcher that starts to watch
later, or another machine, would see the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.launcher.backends.base import Backend, JobState, log_files
from gsnr_sweep.launcher.worker import Worker
from gsnr_sweep.records.leases import PROCESS_DIED, Standing, close_killed, standing
from gsnr_sweep.records.manifest import Manifest, SweepJob, SweepRun
from gsnr_sweep.records.state import State

MakeWorkers = Callable[[Sequence[SweepRun], int], list[Worker]]
_MOST_REFUSALS = 60
_SHORTEST_PAUSE = 0.1


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        run: The run.
        folder: Where its files are.
        state: As in `gsnr_sweep.records.leases.Standing`.
        error: Why it has no result, in a sentence; empty if it has.
        logs: What its job printed, where the run itself left no log.
    """

    run: SweepRun
    folder: Path
    state: State
    error: str = ""
    logs: tuple[Path, ...] = ()


@dataclass
class Monitor:
    """Follows the runs that a sweep computes itself.

    Attributes:
        manifest: The sweep; new jobs are entered.
        backend: Where jobs run.
        make_workers: Makes jobs for some runs, at most as many as the number given (0: no limit).
        shared: Whether all jobs work through one list, so that one can stand in for another.
        at_once: How many jobs are wanted side by side where they share a list.
        held: Keeps interrupts back while jobs are made that nobody could cancel yet.
    """

    manifest: Manifest
    backend: Backend
    make_workers: MakeWorkers
    shared: bool
    at_once: int
    held: Callable[[], AbstractContextManager[None]] = nullcontext
    _gone: dict[str, JobState] = field(default_factory=dict)
    _submitted: dict[int, int] = field(default_factory=dict)
    _ended: set[int] = field(default_factory=set)
    _fruitless: int = 0
    _refused: int = 0
    _looked_for: float = 0.0
    _phases: dict[str, str] = field(default_factory=dict)

    def run(self, on_look: Callable[[], object]) -> Iterator[Outcome]:
        """Yield the runs' outcomes as they end, until nothing more can happen.

        Args:
            on_look: Called a few times a second.
        """
        next_look = 0.0
        while self._open:
            yield from self._newly_ended()
            if time.monotonic() >= next_look:
                self._look_at_jobs()
                yield from self._newly_ended()
                self._replace_jobs()
                next_look = time.monotonic() + self.backend.seconds_between_looks
                if self._open and not self._working() and not self._refused:
                    yield from self._newly_ended()
                    break
            on_look()
            time.sleep(max(_SHORTEST_PAUSE, 4 * self._looked_for))
        yield from self._given_up()

    @property
    def _open(self) -> list[SweepRun]:
        return [run for run in self.manifest.to_run() if run.index not in self._ended]

    def _working(self) -> list[SweepJob]:
        return [job for job in self.manifest.jobs if job.id not in self._gone]

    def _newly_ended(self) -> Iterator[Outcome]:
        started = time.monotonic()
        standings = [(run, standing(self.manifest.folder_of(run))) for run in self._open]
        self._looked_for = time.monotonic() - started
        for run, now in standings:
            if now.state.over and not now.may_go_on(self.manifest.max_retries):
                self._ended.add(run.index)
                yield self._outcome(run, now)

    def _outcome(self, run: SweepRun, now: Standing, error: str = "") -> Outcome:
        result = now.state == State.FINISHED
        error = "" if result else now.error or error or PROCESS_DIED
        folder = self.manifest.folder_of(run)
        jobs = [job for job in self.manifest.jobs if now.lease and job.id == now.lease.job]
        logs = [path for job in jobs for path in log_files(self.manifest.folder, job)]
        return Outcome(run, folder, now.state, error, tuple(logs))

    def _look_at_jobs(self) -> None:
        states = self.backend.states(self._working())
        for job in self._working():
            state = states.get(job.id, JobState("gone"))
            if state.phase == "gone":
                at_work = self._close_runs_of(job, state)
                self._fruitless = 0 if at_work else self._fruitless + 1
                if self._phases.get(job.id) == "pending" and not at_work and not state.reason:
                    # SLURM forgets an array's task at once that is cancelled in the queue
                    state = JobState("gone", "cancelled before it started", final=True)
                self._gone[job.id] = state
            self._phases[job.id] = state.phase

    def _close_runs_of(self, job: SweepJob, state: JobState) -> bool:
        """Take note that the runs are dead which a dead job was at; tell whether it took any."""
        at_work = False
        for run in self.manifest.to_run():
            if run.index not in job.runs:
                continue
            folder = self.manifest.folder_of(run)
            now = standing(folder)
            if now.lease is None or now.lease.job != job.id:
                continue
            at_work = True
            unfinished = now.state.under_way or now.state == State.KILLED
            if unfinished:
                close_killed(folder, now.lease.number, state.reason)
        return at_work

    def _replace_jobs(self) -> None:
        """Start jobs for runs that are left and may be tried (again)."""
        if self.manifest.stop_file.exists():
            return
        if not (self._fill_up() if self.shared else self._resubmit()):
            self._refused = 0  # nothing to submit, so nothing that could be refused

    def _fill_up(self) -> bool:
        free = [run for run in self._open if self._may_start(run)]
        under_way = len(self._open) - len(free)
        wanted = min(self.at_once, len(free) + under_way) - len(self._working())
        if not free or wanted <= 0 or self._fruitless > self.at_once + self.manifest.max_retries:
            return False
        self._submit(self._open, wanted)
        return True

    def _resubmit(self) -> bool:
        """Submit again what a job left behind that is gone, unless somebody cancelled it."""
        left: list[SweepRun] = []
        for run in self._open:
            jobs = [job for job in self.manifest.jobs if run.index in job.runs]
            if any(job.id not in self._gone for job in jobs):
                continue
            if jobs and self._gone[jobs[-1].id].final:
                continue
            tries = self._submitted.get(run.index, 0)
            if self._may_start(run) and tries <= self.manifest.max_retries:
                left.append(run)
        if left:
            self._submit(left, 0)
        return bool(left)

    def _submit(self, runs: Sequence[SweepRun], most: int) -> None:
        try:
            with self.held():
                self.manifest.jobs += self.backend.submit(self.make_workers(runs, most))
        except GsnrError:
            self._refused += 1
            if not self.manifest.jobs or (self._refused > _MOST_REFUSALS and not self._working()):
                raise  # nothing is under way that would be left alone
            return  # the controller may be back at the next look
        self._refused = 0
        for run in runs:
            self._submitted[run.index] = self._submitted.get(run.index, 0) + 1
        self.manifest.write()

    def _may_start(self, run: SweepRun) -> bool:
        now = standing(self.manifest.folder_of(run))
        return not now.state.under_way and now.may_go_on(self.manifest.max_retries)

    def _given_up(self) -> Iterator[Outcome]:
        """Yield the runs that have no result and will get none."""
        for run in self._open:
            now = standing(self.manifest.folder_of(run))
            self._ended.add(run.index)
            jobs = [job for job in self.manifest.jobs if run.index in job.runs]
            ends = [state.reason for job in jobs if (state := self._gone.get(job.id))]
            why = next((reason for reason in reversed(ends) if reason), "")
            error = why or "no job got as far as starting it"
            outcome = self._outcome(run, now, error)
            if not outcome.logs and jobs:
                logs = [path for job in jobs[-3:] for path in log_files(self.manifest.folder, job)]
                outcome = Outcome(run, outcome.folder, outcome.state, outcome.error, tuple(logs))
            yield outcome

    def stop(self, on_look: Callable[[], object], seconds: float) -> None:
        """Ask all workers to stop after a checkpoint, and wait for them."""
        self.manifest.stop_file.touch()
        self.backend.cancel(self._working(), pending_only=True)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self._any_at_work():
            on_look()
            time.sleep(0.2)
        self.kill()

    def _any_at_work(self) -> bool:
        states = self.backend.states(self._working())
        running = any(state.phase == "running" for state in states.values())
        folders = [self.manifest.folder_of(run) for run in self._open]
        return running and any(standing(folder).state.under_way for folder in folders)

    def kill(self) -> None:
        """End all jobs at once."""
        self.backend.cancel(self._working())
        for run in self._open:
            folder = self.manifest.folder_of(run)
            now = standing(folder)
            if now.lease and (now.state.under_way or now.state == State.KILLED):
                close_killed(folder, now.lease.number, "the sweep was stopped")
