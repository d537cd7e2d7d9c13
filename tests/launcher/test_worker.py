"""What a worker is given, what it takes, and what it says of a run that went wrong."""

import json
import os
import pickle
import sys
from dataclasses import asdict
from pathlib import Path

import cloudpickle
import pytest
from hydra.core.utils import JobReturn, JobStatus

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.launcher.job_context import _error
from gsnr_sweep.launcher.worker import Place, Worker, load_job_context
from gsnr_sweep.records.leases import Lease, fail_run, last_lease, standing, take_lease
from gsnr_sweep.records.manifest import PAYLOAD_FILE
from gsnr_sweep.records.record import RunRecord
from gsnr_sweep.records.status import Status, read_status, write_status
from gsnr_sweep.runs.outcome import run_result
from tests.fakes import (
    gone_process,
    put_status,
)

SLURM = {"SUBMITIT_EXECUTOR": "slurm", "SLURM_JOB_ID": "12"}


def _returned(value: object, status: JobStatus) -> JobReturn:
    done = JobReturn()
    done.return_value, done.status = value, status
    return done


# --- what became of a run


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (GsnrError("Training diverged:\ntry less."), "Training diverged: try less."),
        (KeyError("colour"), "KeyError: 'colour'"),
        (RuntimeError("two\n  lines"), "RuntimeError: two lines"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_errors_of_ours_speak_for_themselves_others_by_their_name(
    error: Exception, told: str
) -> None:
    assert _error(_returned(error, JobStatus.FAILED)) == told
    assert _error(_returned(error, JobStatus.COMPLETED)) == ""


def test_a_result_is_what_is_on_disk_and_survives_pickling(tmp_path: Path) -> None:
    record = RunRecord("a", {}, "", {}, "finished")
    write_status(tmp_path, Status("finished"))
    assert run_result(tmp_path) is None  # its record is missing
    record.write(tmp_path)
    result = run_result(tmp_path)
    assert result is not None
    assert result.record == record
    assert cloudpickle.loads(cloudpickle.dumps(result)) == result


@pytest.mark.parametrize("state", ["preparing", "running", "failed", "diverged", "killed"])
def test_a_run_that_did_not_finish_has_no_result(tmp_path: Path, state: str) -> None:
    RunRecord("a", {}, "", {}, state).write(tmp_path)
    write_status(tmp_path, Status(state))
    assert run_result(tmp_path) is None


def test_a_failure_is_written_down_where_the_run_could_not(tmp_path: Path) -> None:
    lease = take_lease(tmp_path, "7", 0, 2)
    assert lease is not None
    fail_run(tmp_path, lease, "no such model")
    now = standing(tmp_path)
    assert (now.state, now.error, now.may_go_on(2)) == ("failed", "no such model", False)
    fail_run(tmp_path, lease, "something else")  # the first reason counts
    assert standing(tmp_path).error == "no such model"


# --- what it is given


def test_a_worker_survives_pickling_with_a_session_of_its_own() -> None:
    worker = Worker("folder", [0, 1], 2, ["path"], {"A": None}, [0], 1, 3, 5.0)
    worker._session = object()  # type: ignore[assignment]
    copy = cloudpickle.loads(cloudpickle.dumps(worker))
    assert (copy, hasattr(copy, "_session")) == (worker, False)


def test_threads_and_environment_are_set_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MINE"):
        monkeypatch.setenv(name, "9")
    monkeypatch.setenv("YOURS", "9")
    monkeypatch.setattr(sys, "path", list(sys.path))
    Worker("", [], 3, ["last"], {"MINE": "1", "YOURS": None})._set_up()
    assert [os.environ[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "MINE")] == [
        *("3", "3", "1"),
    ]
    assert "YOURS" not in os.environ
    assert sys.path[-1] == "last"  # after the libraries: PYTHONPATH holds what is to come before


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({}, Place("")),
        ({"SUBMITIT_LOCAL_JOB_ID": "4711", "SLURM_JOB_ID": "12"}, Place("4711")),
        (SLURM | {"SLURM_RESTART_COUNT": "2", "SLURM_PROCID": "1"}, Place("12", 2, 1)),
        (SLURM | {"SLURM_ARRAY_JOB_ID": "11", "SLURM_ARRAY_TASK_ID": "1"}, Place("11_1")),
    ],
)
def test_a_worker_knows_its_job(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], place: Place
) -> None:
    for name in [n for n in os.environ if n.startswith(("SLURM_", "SUBMITIT_"))]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert Place.here() == place


@pytest.mark.parametrize("content", [None, b"", b"not a pickle"])
def test_a_payload_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / PAYLOAD_FILE).write_bytes(content)
    with pytest.raises(GsnrError, match=rf"{PAYLOAD_FILE} cannot be read: "):
        load_job_context(tmp_path)


def test_a_payload_that_others_may_have_written_is_not_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / PAYLOAD_FILE
    path.write_bytes(pickle.dumps("what is executed"))
    for mode in (0o664, 0o606):
        path.chmod(mode)
        with pytest.raises(GsnrError, match="others may have written it"):
            load_job_context(tmp_path)
    path.chmod(0o600)
    assert load_job_context(tmp_path) == "what is executed"
    os.chown(path, 12345, -1) if os.getuid() == 0 else monkeypatch.setattr(os, "getuid", lambda: 7)
    with pytest.raises(GsnrError, match="others may have written it"):
        load_job_context(tmp_path)


# --- what it takes


def _json(lease: Lease) -> str:
    return json.dumps(asdict(lease))


def test_a_run_is_taken_once(tmp_path: Path) -> None:
    first = take_lease(tmp_path, "7", 0, 2)
    assert first is not None
    assert (first.number, first.failures, last_lease(tmp_path)) == (1, 0, first)
    assert take_lease(tmp_path, "8", 0, 2) is None


def test_a_run_whose_process_died_is_taken_over_so_many_times(tmp_path: Path) -> None:
    dead = {"process": gone_process()}
    (tmp_path / "attempt.1").write_text(_json(Lease(1, "7", **dead)))
    second = take_lease(tmp_path, "8", 0, max_retries=1)
    assert second is not None
    assert (second.number, second.failures) == (2, 1)
    (tmp_path / "attempt.2").write_text(_json(Lease(2, "8", failures=1, **dead)))
    assert standing(tmp_path).state == "killed"
    assert take_lease(tmp_path, "9", 0, max_retries=1) is None


def test_a_claim_that_was_never_written_out_counts_as_dead(tmp_path: Path) -> None:
    (tmp_path / "attempt.1").touch()
    assert standing(tmp_path).state == "killed"
    lease = take_lease(tmp_path, "8", 0, 1)
    assert lease is not None
    assert lease.number == 2


@pytest.mark.parametrize(
    ("state", "may_pass", "taken"),
    [
        ("finished", False, False),
        ("diverged", False, False),
        ("failed", False, False),
        ("failed", True, True),
        ("interrupted", False, True),
    ],
)
def test_what_has_ended_is_left_alone(
    tmp_path: Path, state: str, may_pass: bool, taken: bool
) -> None:
    lease = take_lease(tmp_path, "7", 0, 2)
    assert lease is not None
    put_status(tmp_path, state, attempt=1, may_pass=may_pass)
    again = take_lease(tmp_path, "8", 0, 2)
    assert (again is not None) == taken
    if again is not None:
        assert again.failures == (state == "failed")  # an interruption is no failure
    assert read_status(tmp_path) is not None
