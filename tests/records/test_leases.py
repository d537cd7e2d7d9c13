"""Who may work on a run: one attempt at a time, whoever else tries."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from gsnr_sweep.records.leases import (
    PROCESS_DIED,
    RECORD_LOST,
    Lease,
    close_killed,
    fail_run,
    last_lease,
    renewing,
    standing,
    take_lease,
)
from gsnr_sweep.records.processes import SECONDS_UNTIL_SILENT, identify
from gsnr_sweep.records.record import RunRecord
from gsnr_sweep.records.state import State
from gsnr_sweep.records.status import Status, read_status
from tests.conftest import ROOT
from tests.fakes import (
    gone_pid,
    gone_process,
    process_elsewhere,
    put_claim,
    put_record,
    put_run,
    put_status,
)

STATES = ("finished", "diverged", "failed", "interrupted", "killed")
AWAY = "another-machine"
ELSEWHERE = process_elsewhere()


def _claim(folder: Path, job: str = "j2", restart: int = 0, max_retries: int = 2) -> Lease | None:
    return take_lease(folder, job, restart, max_retries)


def _files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("attempt.*"))


# --- a race


RACER = """
import sys, time
from pathlib import Path
from gsnr_sweep.records.leases import take_lease

folder, n = Path(sys.argv[1]), int(sys.argv[2])
print("ready", flush=True)
go = float(sys.stdin.readline())
for index in range(n):
    while time.time() < go + 0.01 * index:
        pass
    claim = take_lease(folder / str(index), sys.argv[3], 0, 2)
    if claim is not None:
        print(index, claim.number)
"""


def test_only_one_of_many_processes_gets_a_run(tmp_path: Path) -> None:
    """All reach for the same run at the same moment, one run after the other."""
    n_runs = 60
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(tmp_path), str(n_runs), f"j{number}"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    go = f"{time.time() + 0.2}\n"
    with ThreadPoolExecutor(len(racers)) as pool:
        outputs = list(pool.map(lambda racer: racer.communicate(go, timeout=60)[0], racers))
    taken = [tuple(map(int, line.split())) for text in outputs for line in text.splitlines()]
    assert sorted(taken) == [(i, 1) for i in range(n_runs)]
    assert [_files(tmp_path / str(i)) for i in range(n_runs)] == [["attempt.1"]] * n_runs


def test_only_one_of_many_threads_takes_over_a_run(tmp_path: Path) -> None:
    """Of runs whose owner has died."""
    for index in range(30):
        put_run(tmp_path / str(index), "running", alive=False)
    barrier = threading.Barrier(8)

    def take(_: int) -> list[tuple[int, int]]:
        barrier.wait()
        return [
            (i, lease.number) for i in range(30) if (lease := _claim(tmp_path / str(i))) is not None
        ]

    with ThreadPoolExecutor(8) as pool:
        taken = [one for part in pool.map(take, range(8)) for one in part]
    assert sorted(taken) == [(i, 2) for i in range(30)]


def test_the_file_of_an_attempt_says_whose_it_is(tmp_path: Path) -> None:
    lease = take_lease(tmp_path / "new", "j1", 3, 2)
    assert lease == last_lease(tmp_path / "new")
    assert lease is not None
    assert (lease.number, lease.job, lease.restart, lease.failures) == (1, "j1", 3, 0)
    assert (lease.host, lease.pid, lease.alive) == (socket.gethostname(), os.getpid(), True)


def test_a_run_that_is_being_prepared_is_not_taken_twice(tmp_path: Path) -> None:
    """Between the claim and the first status lies the import of PyTorch."""
    assert _claim(tmp_path, "j1") is not None
    assert standing(tmp_path).state == "preparing"
    assert _claim(tmp_path, "j2") is None
    assert _files(tmp_path) == ["attempt.1"]


# --- death


def test_a_run_of_a_dead_process_is_taken_over_and_counted(tmp_path: Path) -> None:
    put_run(tmp_path, "running", alive=False, job="j1")
    lease = _claim(tmp_path)
    assert lease is not None
    assert (lease.number, lease.job, lease.failures) == (2, "j2", 1)


def test_a_process_that_died_before_its_first_status(tmp_path: Path) -> None:
    put_claim(tmp_path, 1, alive=False)
    assert standing(tmp_path).state == "killed"
    lease = _claim(tmp_path)
    assert lease is not None
    assert (lease.number, lease.failures) == (2, 1)
    put_claim(tmp_path, 2, alive=False, failures=1)
    put_status(tmp_path, "running", attempt=1)  # a late report of the first one changes nothing
    assert standing(tmp_path).state == "killed"


def test_a_number_that_another_process_has_got_meanwhile(tmp_path: Path) -> None:
    put_claim(tmp_path, 1, alive=True, process=gone_process())
    assert standing(tmp_path).state == "killed"
    put_claim(tmp_path, 1, process=identify(gone_pid()))
    assert standing(tmp_path).state == "killed"


@pytest.mark.parametrize("max_retries", [0, 1, 3])
def test_a_run_that_kills_its_process_is_tried_so_many_times(
    tmp_path: Path, max_retries: int
) -> None:
    tries = 0
    while _claim(tmp_path, f"j{tries}", 0, max_retries) is not None:
        tries += 1
        lease = last_lease(tmp_path)
        assert lease is not None
        put_claim(tmp_path, tries, alive=False, failures=lease.failures, job=lease.job)
        put_status(tmp_path, "running", attempt=tries, alive=False)
        assert tries < 10
    assert tries == 1 + max_retries
    assert not standing(tmp_path).may_go_on(max_retries)


def test_a_real_process_that_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path\n"
        "from gsnr_sweep.records.leases import take_lease\n"
        "assert take_lease(Path(sys.argv[1]), 'j1', 0, 2)\n"
        "print('claimed', flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "claimed\n"
        assert standing(tmp_path).state == "preparing"
        assert _claim(tmp_path) is None
        process.kill()
        deadline = time.monotonic() + 60
        while (lease := _claim(tmp_path)) is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert lease is not None  # also while nobody has waited for the process


# --- an interruption, a failure, a requeued job


@pytest.mark.parametrize("max_retries", [0, 2])
def test_an_interruption_does_not_count(tmp_path: Path, max_retries: int) -> None:
    put_run(tmp_path, "interrupted", number=5, failures=2)
    lease = _claim(tmp_path, max_retries=max_retries)
    assert lease is not None
    assert (lease.number, lease.failures) == (6, 2)


@pytest.mark.parametrize(
    ("may_pass", "failures", "goes_on"),
    [(True, 0, True), (True, 1, True), (True, 2, False), (False, 0, False)],
)
def test_a_failure_is_tried_again_if_it_may_pass(
    tmp_path: Path, may_pass: bool, failures: int, goes_on: bool
) -> None:
    put_run(tmp_path, "failed", may_pass=may_pass, failures=failures)
    assert standing(tmp_path).may_go_on(2) == goes_on
    lease = _claim(tmp_path)
    assert (lease is not None) == goes_on
    if lease is not None:
        assert lease.failures == failures + 1


@pytest.mark.parametrize("state", ["finished", "diverged"])
def test_what_is_over_is_over(tmp_path: Path, state: str) -> None:
    put_run(tmp_path, state, may_pass=True, job="j2")
    assert _claim(tmp_path) is None
    assert _claim(tmp_path, "j2", 1) is None  # also for the same job, started again


@pytest.mark.parametrize(
    ("state", "alive"),
    [("running", False), ("running", True), ("preparing", True), ("interrupted", False)],
)
def test_a_job_that_the_cluster_starts_again_takes_its_run_back(
    tmp_path: Path, state: str, alive: bool
) -> None:
    """Whatever the run's files say: two lives of a job never overlap. Nothing is counted."""
    put_run(tmp_path, state, alive=alive, job="7_1", failures=2, process=ELSEWHERE)
    assert _claim(tmp_path, "7_1", 0) is None or state == "interrupted"
    place = tmp_path / "again"
    put_run(place, state, alive=alive, job="7_1", failures=2, process=ELSEWHERE)
    assert _claim(place, "7_2", 1, 0) is None or state == "interrupted"
    lease = _claim(place, "7_1", 1, 0)
    if state == "interrupted":
        return
    assert lease is not None
    assert (lease.number, lease.restart, lease.failures) == (2, 1, 2)


def test_a_requeued_job_does_not_try_for_ever_what_has_failed(tmp_path: Path) -> None:
    put_run(tmp_path, "failed", job="7", may_pass=True, failures=2)
    assert _claim(tmp_path, "7", 1) is None


# --- other machines


def _age(seconds: float) -> float:
    return time.time() - seconds


@pytest.mark.parametrize(
    ("age", "alive"),
    [(0, True), (SECONDS_UNTIL_SILENT - 20, True), (SECONDS_UNTIL_SILENT + 1, False)],
)
def test_runs_of_other_machines_live_as_long_as_they_report(
    tmp_path: Path, age: float, alive: bool
) -> None:
    put_claim(tmp_path, host=AWAY, process=ELSEWHERE, made=_age(10_000))
    put_status(tmp_path, "running", host=AWAY, process=ELSEWHERE, updated=_age(age))
    assert standing(tmp_path).state == ("running" if alive else "killed")
    assert (_claim(tmp_path) is None) == alive


@pytest.mark.parametrize(("age", "alive"), [(0, True), (SECONDS_UNTIL_SILENT + 1, False)])
def test_claims_of_other_machines_live_for_a_while_without_a_report(
    tmp_path: Path, age: float, alive: bool
) -> None:
    put_claim(tmp_path, host=AWAY, process=ELSEWHERE, made=_age(age))
    assert standing(tmp_path).state == ("preparing" if alive else "killed")
    assert (_claim(tmp_path) is None) == alive


def test_a_lease_is_renewed_until_its_run_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gsnr_sweep.records.leases._SECONDS_BETWEEN_RENEWALS", 0.01)
    lease = Lease(host=AWAY, process=ELSEWHERE, made=_age(10_000))
    put_claim(tmp_path, **asdict(lease))
    assert standing(tmp_path).state == "killed"
    with renewing(tmp_path, lease):
        _until(lambda: standing(tmp_path).state == "preparing")
        put_status(tmp_path, "running", host=AWAY, process=ELSEWHERE)
        time.sleep(0.1)
        made = (tmp_path / "attempt.1").read_text()
        time.sleep(0.1)
        assert (tmp_path / "attempt.1").read_text() == made
    assert json.loads(made) == {**asdict(lease), "made": json.loads(made)["made"]}
    assert {path.name for path in tmp_path.iterdir()} == {"attempt.1", "status.json"}


def _until(so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# --- where a run stands


def test_nothing_there_is_waiting(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "gone"):
        now = standing(place)
        assert (now.state, now.lease, now.status, now.error) == ("waiting", None, None, "")
        assert now.may_go_on(0)


@pytest.mark.parametrize("claimed", [True, False])
@pytest.mark.parametrize("alive", [True, False])
@pytest.mark.parametrize("state", ["preparing", "running", *STATES])
def test_a_status_of_the_last_attempt_counts(
    tmp_path: Path, state: str, alive: bool, claimed: bool
) -> None:
    if claimed:
        put_claim(tmp_path, 2, alive=alive)
    put_status(tmp_path, state, alive=alive, attempt=2)
    expected = "killed" if state in ("preparing", "running") and not alive else state
    assert standing(tmp_path).state == expected


@pytest.mark.parametrize("record", [None, "", "{", '{"schema": 2}', "running", "failed"])
@pytest.mark.parametrize("state", ["finished", "diverged"])
def test_a_result_that_no_record_holds_is_lost(
    tmp_path: Path, state: str, record: str | None
) -> None:
    """The status only reports it: a disk that was full, a file cut off, emptied or exchanged."""
    put_claim(tmp_path, 1, alive=False)
    put_status(tmp_path, state)
    assert standing(tmp_path).state == state
    if record in ("running", "failed"):
        put_record(tmp_path, state=record)
    elif record is not None:
        (tmp_path / "record.json").write_text(record)
    else:
        (tmp_path / "record.json").unlink()
    now = standing(tmp_path)
    assert (now.state, now.error) == ("lost", RECORD_LOST)
    assert (now.may_go_on(1), now.may_go_on(0)) == (True, False)
    again = take_lease(tmp_path, "7", 0, 1)
    assert again is not None
    assert (again.number, again.failures) == (2, 1)


@pytest.mark.parametrize("alive", [True, False])
@pytest.mark.parametrize("state", ["preparing", "running", *STATES])
def test_a_status_of_an_earlier_attempt_is_history(tmp_path: Path, state: str, alive: bool) -> None:
    put_claim(tmp_path, 3, alive=alive)
    put_status(tmp_path, state, attempt=2)
    assert standing(tmp_path).state == ("preparing" if alive else "killed")


@pytest.mark.parametrize(
    ("state", "message", "error"),
    [
        ("finished", "epoch 2: LHS 1", ""),
        ("running", "epoch 2: LHS 1", ""),
        ("failed", "KeyError: 'x'", "KeyError: 'x'"),
        ("diverged", "lr too high", "lr too high"),
        ("interrupted", "Stopped at epoch 2", "Stopped at epoch 2"),
        ("killed", "the node failed", "the node failed"),
        ("killed", "", PROCESS_DIED),
    ],
)
def test_why_a_run_has_no_result(tmp_path: Path, state: str, message: str, error: str) -> None:
    put_run(tmp_path, state, message=message)
    assert standing(tmp_path).error == error


def test_the_last_measurement_is_no_reason_for_a_death(tmp_path: Path) -> None:
    put_run(tmp_path, "running", alive=False, message="epoch 2: LHS 1")
    assert standing(tmp_path).error == PROCESS_DIED


@pytest.mark.parametrize("raw", ["", "{", '{"number": 2, "odd": 1}', "[]"])
def test_a_claim_that_cannot_be_read_is_a_dead_one(tmp_path: Path, raw: str) -> None:
    put_claim(tmp_path, 1)
    put_claim(tmp_path, 2, raw=raw)
    now = standing(tmp_path)
    assert now.lease is not None
    assert (now.state, now.lease.number) == ("killed", 2)
    lease = _claim(tmp_path)
    assert lease is not None
    assert lease.number == 3


def test_a_claim_is_waited_for_that_is_just_being_written(tmp_path: Path) -> None:
    whole = json.dumps(asdict(Lease(1, "j1")))
    path = tmp_path / "attempt.1"
    path.write_text("")
    timer = threading.Timer(0.05, lambda: path.write_text(whole))
    timer.start()
    found = last_lease(tmp_path)
    timer.join()
    assert found is not None
    assert found.job == "j1"


def test_attempts_are_numbers(tmp_path: Path) -> None:
    for number in (1, 9, 10):
        put_claim(tmp_path, number)
    for name in ("attempt.11~", "attempt.x", "attempt.", ".attempt.12"):
        (tmp_path / name).write_text("")
    found = last_lease(tmp_path)
    assert found is not None
    assert found.number == 10


# --- writing down a death


def test_a_death_is_written_down_once(tmp_path: Path) -> None:
    put_run(tmp_path, "running", alive=False, message="epoch 2: LHS 1", epoch=4, run_id="abc")
    assert close_killed(tmp_path, 1, "the node failed")
    status, record = read_status(tmp_path), RunRecord.read(tmp_path / "record.json")
    assert status is not None
    assert (status.state, status.message, status.tracked) == ("killed", "the node failed", False)
    assert (status.epoch, status.run_id, status.attempt) == (4, "abc", 1)
    assert (record.state, record.error) == ("killed", "the node failed")
    assert record.measurements
    assert not close_killed(tmp_path, 1, "another reason")
    assert standing(tmp_path).error == "the node failed"


def test_a_death_before_the_first_report(tmp_path: Path) -> None:
    put_claim(tmp_path, 1, alive=False)
    assert close_killed(tmp_path, 1)
    status = read_status(tmp_path)
    assert status is not None
    assert (status.state, status.message, status.attempt) == ("killed", PROCESS_DIED, 1)


def test_a_death_within_code_of_the_users_names_it(tmp_path: Path) -> None:
    put_claim(tmp_path, 1, alive=False)
    config = {"model": {"_target_": "mine.Net"}, "data": {"name": "toy"}}
    RunRecord("n=1", config, "", {}, State.RUNNING).write(tmp_path)
    assert close_killed(tmp_path, 1)
    assert standing(tmp_path).error == (
        f"{PROCESS_DIED} Or did its own code end it (model._target_=mine.Net)?"
    )


def test_a_death_after_an_earlier_attempt_had_reported(tmp_path: Path) -> None:
    put_status(tmp_path, "interrupted", attempt=1, epoch=3, run_id="abc")
    put_claim(tmp_path, 2, alive=False)
    assert close_killed(tmp_path, 2)
    status = read_status(tmp_path)
    assert status is not None
    assert (status.state, status.attempt, status.epoch) == ("killed", 2, 3)


@pytest.mark.parametrize("state", STATES)
def test_what_has_ended_before_is_left_alone(tmp_path: Path, state: str) -> None:
    before = put_run(tmp_path, state, message="as it was")
    assert not close_killed(tmp_path, 1)
    assert read_status(tmp_path) == before
    assert RunRecord.read(tmp_path / "record.json").state == state


@pytest.mark.parametrize("state", [None, "preparing", "running", *STATES])
def test_a_successor_is_left_alone(tmp_path: Path, state: str | None) -> None:
    """Whatever state it is in: the death was that of the attempt before."""
    put_claim(tmp_path, 1, alive=False)
    put_claim(tmp_path, 2)
    before: Status | None = None
    if state is None:
        put_status(tmp_path, "running", attempt=1, alive=False)
        before = read_status(tmp_path)
    else:
        before = put_status(tmp_path, state, attempt=2)
    put_record(tmp_path, state="running")
    assert not close_killed(tmp_path, 1)
    assert read_status(tmp_path) == before
    assert RunRecord.read(tmp_path / "record.json").state == "running"


def test_nothing_to_close(tmp_path: Path) -> None:
    assert not close_killed(tmp_path, 1)
    assert not close_killed(tmp_path / "gone", 1)
    assert list(tmp_path.iterdir()) == []


def _fields(status: Status | None) -> tuple[Any, ...]:
    assert status is not None
    return status.state, status.message, status.attempt


def test_a_failure_that_the_run_could_not_tell_itself(tmp_path: Path) -> None:
    lease = put_claim(tmp_path, 2)
    fail_run(tmp_path, lease, "no such module")
    assert _fields(read_status(tmp_path)) == ("failed", "no such module", 2)
    assert standing(tmp_path).error == "no such module"
    assert not standing(tmp_path).may_go_on(5)


@pytest.mark.parametrize("state", ["finished", "diverged", "failed", "interrupted"])
def test_a_run_that_has_told_it_itself_is_believed(tmp_path: Path, state: str) -> None:
    lease = put_claim(tmp_path, 2)
    put_status(tmp_path, state, attempt=2, message="its own words")
    fail_run(tmp_path, lease, "other words")
    assert _fields(read_status(tmp_path)) == (state, "its own words", 2)


def test_a_failure_on_the_way(tmp_path: Path) -> None:
    lease = put_claim(tmp_path, 2)
    put_status(tmp_path, "running", attempt=2, epoch=4)
    fail_run(tmp_path, lease, "SystemExit: enough")
    assert _fields(read_status(tmp_path)) == ("failed", "SystemExit: enough", 2)


def test_what_an_earlier_attempt_told_is_replaced(tmp_path: Path) -> None:
    put_status(tmp_path, "interrupted", attempt=1, message="stopped")
    fail_run(tmp_path, put_claim(tmp_path, 2), "no such module")
    assert _fields(read_status(tmp_path)) == ("failed", "no such module", 2)
