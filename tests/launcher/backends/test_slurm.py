"""What SLURM's programs say, and what is made of it; none of them is called here."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from submitit.core.utils import FailedJobError, FailedSubmissionError

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.launcher.backends import slurm
from gsnr_sweep.launcher.backends.base import JobState, log_files
from gsnr_sweep.launcher.backends.slurm import SlurmBackend, partitions, sbatch_parameters
from gsnr_sweep.launcher.settings import SlurmSettings
from gsnr_sweep.launcher.worker import Worker
from gsnr_sweep.records.manifest import SweepJob

RUNNING, GONE = JobState("running"), JobState("gone")


@dataclass
class FakeSlurm:
    """Answers in place of SLURM's programs.

    Attributes:
        answers: What each program prints; None if it fails. A function is asked with the arguments.
        calls: All calls.
    """

    answers: dict[str, Any] = field(default_factory=dict)
    calls: list[tuple[str, ...]] = field(default_factory=list)

    def __call__(self, *command: str) -> str | None:
        self.calls.append(command)
        answer = self.answers.get(command[0])
        return answer(command) if callable(answer) else answer  # type: ignore[no-any-return]

    def of(self, program: str) -> list[tuple[str, ...]]:
        return [call for call in self.calls if call[0] == program]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    found = FakeSlurm()
    monkeypatch.setattr(slurm, "_slurm", found)
    monkeypatch.setattr(slurm.shutil, "which", lambda name: name)
    return found


@pytest.fixture
def backend(tmp_path: Path) -> SlurmBackend:
    return SlurmBackend(tmp_path, SlurmSettings(poll_s=7.0))


def _jobs(*ids: str) -> list[SweepJob]:
    return [SweepJob(name, []) for name in ids]


# --- the queue


@pytest.mark.parametrize(
    ("line", "state"),
    [
        ("1|RUNNING|None|n1", JobState("running", host="n1")),
        ("1|COMPLETING|None|n1", JobState("running", host="n1")),
        ("1|SUSPENDED|None|n1", JobState("running", host="n1")),
        ("1|STAGE_OUT|None|n1", JobState("running", host="n1")),
        ("1|PENDING|Resources|", JobState("pending", "Resources")),
        ("1|PENDING|(Dependency)|", JobState("pending", "(Dependency)")),
        ("1|CONFIGURING|None|n1", JobState("pending", "None")),
        ("1|REQUEUED|None|", JobState("pending", "None")),
        (
            "1|REQUEUE_HOLD|job requeued in held state|",
            JobState("pending", "job requeued in held state"),
        ),
        ("1|PREEMPTED|None|n1", JobState("pending", "None")),
        ("1|COMPLETED|None|n1", JobState("gone", "", host="n1")),
        (
            "1|FAILED|NonZeroExitCode|n1",
            JobState("gone", "SLURM: FAILED, NonZeroExitCode", host="n1"),
        ),
        (
            "1|OUT_OF_MEMORY|OutOfMemory|n1",
            JobState("gone", "SLURM: OUT_OF_MEMORY, OutOfMemory", host="n1"),
        ),
        ("1|TIMEOUT|TimeLimit|n1", JobState("gone", "SLURM: TIMEOUT, TimeLimit", host="n1")),
        ("1|NODE_FAIL|None|n1", JobState("gone", "SLURM: NODE_FAIL", host="n1")),
        ("1|BOOT_FAIL|None|", JobState("gone", "SLURM: BOOT_FAIL")),
        ("1|DEADLINE|DeadLine|", JobState("gone", "SLURM: DEADLINE, DeadLine")),
        ("1|CANCELLED|None|", JobState("gone", "SLURM: CANCELLED", final=True)),
        ("1|CANCELLED by 0|None|n1", JobState("gone", "SLURM: CANCELLED", final=True, host="n1")),
        ("  1 | RUNNING | None | n1 ", JobState("running", host="n1")),
        ("1|PENDING|a|b|c", JobState("pending", "a")),
    ],
)
def test_a_line_of_the_queue(
    fake: FakeSlurm, backend: SlurmBackend, line: str, state: JobState
) -> None:
    fake.answers["squeue"] = f"{line}\n"
    assert backend.states(_jobs("1")) == {"1": state}
    assert fake.of("sacct") == []


def test_tasks_of_arrays(fake: FakeSlurm, backend: SlurmBackend) -> None:
    """They are asked for by the array's number, one line a task comes back."""
    fake.answers["squeue"] = (
        "12_0|RUNNING|None|n1\n12_1|PENDING|Resources|\n12_10|COMPLETED|None|n2\n"
        "13|RUNNING|None|n3\n99|RUNNING|None|n4\n"
    )
    found = backend.states(_jobs("12_0", "12_1", "12_10", "13"))
    assert {name: state.phase for name, state in found.items()} == {
        "12_0": "running",
        "12_1": "pending",
        "12_10": "gone",
        "13": "running",
    }
    (call,) = fake.of("squeue")
    assert call[call.index("-j") + 1] == "12,13"
    assert "-r" in call  # each task of a pending array in a line of its own
    assert call[call.index("-t") + 1] == "all"


def test_nobody_is_asked_about_nothing(fake: FakeSlurm, backend: SlurmBackend) -> None:
    assert backend.states([]) == {}
    assert fake.calls == []


def test_very_many_jobs_are_asked_for_in_parts(
    fake: FakeSlurm, backend: SlurmBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command line has an end."""
    monkeypatch.setattr(slurm, "_MOST_AT_ONCE", 2)

    def answer(command: Sequence[str]) -> str:
        ids = command[command.index("-j") + 1].split(",")
        assert len(ids) <= 2
        return "".join(f"{name}|RUNNING|None|n1\n" for name in ids)

    fake.answers["squeue"] = answer
    found = backend.states(_jobs("1", "2", "3", "4", "5"))
    assert {state.phase for state in found.values()} == {"running"}
    assert len(fake.of("squeue")) == 3


# --- what the controller has forgotten


def test_a_forgotten_job_is_known_to_accounting(fake: FakeSlurm, backend: SlurmBackend) -> None:
    fake.answers["squeue"] = "1|RUNNING|None|n1\n"
    fake.answers["sacct"] = "2|COMPLETED\n3_1|CANCELLED by 0\n4|NODE_FAIL\n"
    assert backend.states(_jobs("1", "2", "3_1", "4", "5")) == {
        "1": JobState("running", host="n1"),
        "2": JobState("gone"),
        "3_1": JobState("gone", "SLURM: CANCELLED", final=True),
        "4": JobState("gone", "SLURM: NODE_FAIL"),
        "5": JobState("gone"),
    }
    (call,) = fake.of("sacct")
    assert call[call.index("-j") + 1] == "2,3_1,4,5"


def test_accounting_may_be_behind(fake: FakeSlurm, backend: SlurmBackend) -> None:
    """Of a job that the queue has forgotten it may still say that it runs: it is gone."""
    fake.answers["squeue"] = ""
    fake.answers["sacct"] = "1|RUNNING\n2|PENDING\n3|\n"
    assert set(backend.states(_jobs("1", "2", "3")).values()) == {GONE}


@pytest.mark.parametrize("answer", [None, "", "sacct: nonsense\n", "1\n"])
def test_accounting_that_does_not_work(
    fake: FakeSlurm, backend: SlurmBackend, answer: str | None
) -> None:
    fake.answers["squeue"] = ""
    fake.answers["sacct"] = answer
    assert backend.states(_jobs("1")) == {"1": GONE}


def test_no_accounting_at_all(
    fake: FakeSlurm, backend: SlurmBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm.shutil, "which", lambda name: None if name == "sacct" else name)
    fake.answers["squeue"] = ""
    assert backend.states(_jobs("1")) == {"1": GONE}
    assert fake.of("sacct") == []


def test_one_forgotten_number_spoils_a_list(fake: FakeSlurm, backend: SlurmBackend) -> None:
    """Then squeue says `Invalid job id specified` and nothing else; all jobs are asked for."""
    fake.answers["squeue"] = lambda command: None if "-j" in command else "1|RUNNING|None|n1\n"
    found = backend.states(_jobs("1", "2"))
    assert (found["1"].phase, found["2"].phase) == ("running", "gone")


def test_a_controller_that_does_not_answer(fake: FakeSlurm, backend: SlurmBackend) -> None:
    """Nothing is known, so nothing is over."""
    fake.answers["squeue"] = None
    assert backend.states(_jobs("1", "2_1")) == {"1": RUNNING, "2_1": RUNNING}
    assert fake.of("sacct") == []


def test_what_was_known_before_the_controller_fell_silent_holds(
    fake: FakeSlurm, backend: SlurmBackend
) -> None:
    """Whoever follows the jobs concludes from pending and then gone that a task was cancelled."""
    fake.answers["squeue"] = "1|PENDING|Resources|\n2|RUNNING|None|n1\n"
    backend.states(_jobs("1", "2"))
    fake.answers["squeue"] = None
    found = backend.states(_jobs("1", "2", "3"))
    assert {name: state.phase for name, state in found.items()} == {
        "1": "pending",
        "2": "running",
        "3": "running",
    }


# --- other programs


def test_cancelling(fake: FakeSlurm, backend: SlurmBackend) -> None:
    backend.cancel(_jobs("1", "2_1"))
    backend.cancel(_jobs("3"), pending_only=True)
    backend.cancel([])
    user = f"--user={slurm._user()}"
    assert fake.of("scancel") == [
        ("scancel", user, "1", "2_1"),
        ("scancel", user, "--state=PENDING", "3"),
    ]


NO_IDS = ("--user=root", "", "0", "-1", "1,2", "1 2", "1\n2", "*", "../1", "1_", "_1", "١", "1_0_0")


@pytest.mark.parametrize("text", NO_IDS)
def test_what_is_no_job_id_gets_into_no_command(
    fake: FakeSlurm, backend: SlurmBackend, text: str
) -> None:
    jobs = _jobs(text)
    backend.cancel(jobs)
    assert backend.states(jobs) == {text: GONE}
    assert not any(text in call for call in fake.calls)


@pytest.mark.parametrize("text", ["*", "?", "[1]", "", "../jobs/1", "**/1"])
def test_logs_are_of_the_very_job(tmp_path: Path, text: str) -> None:
    (tmp_path / "jobs").mkdir()
    (log := tmp_path / "jobs" / "1_0_log.out").write_text("text")
    assert log_files(tmp_path, SweepJob(text, [])) == []
    assert log_files(tmp_path, SweepJob("1", [])) == [log]


def test_only_the_sweeps_own_jobs_are_cancelled(
    fake: FakeSlurm, backend: SlurmBackend, tmp_path: Path
) -> None:
    script, me = tmp_path / "jobs" / "submission_file_1.sh", slurm._user()
    fake.answers["squeue"] = "\n".join(
        [
            f"1|{me}|{script}",
            f"2|somebody|{script}",
            f"3_0|{me}|/home/me/own_work.sh",
            f"3_1|{me}|",
        ]
    )
    backend.cancel(_jobs("1", "2", "3_0", "3_1", "4"))
    assert fake.of("scancel") == [("scancel", f"--user={me}", "1", "3_1", "4")]


@pytest.mark.parametrize(
    ("answer", "largest"),
    [
        ("MaxArraySize            = 1001\nMaxBatchRequeue = 5\n", 1001),
        ("MaxArraySize=5", 5),
        ("MaxArraySize = 0", 1),
        ("nothing of the kind", 1000),
        (None, 1000),
    ],
)
def test_the_largest_array(
    fake: FakeSlurm, backend: SlurmBackend, answer: str | None, largest: int
) -> None:
    fake.answers["scontrol"] = answer
    assert backend._largest_array == largest
    assert backend._largest_array == largest
    assert len(fake.of("scontrol")) == 1


@pytest.mark.parametrize(("answer", "names"), [("gpu\ncpu\ngpu\n", ["cpu", "gpu"]), (None, [])])
def test_partitions(fake: FakeSlurm, answer: str | None, names: list[str]) -> None:
    fake.answers["sinfo"] = answer
    assert partitions() == names


@pytest.mark.parametrize("command", [("false",), ("no-such-program-anywhere",)])
def test_a_program_that_fails_or_is_missing(command: tuple[str, ...]) -> None:
    assert slurm._slurm(*command) is None


def test_a_program_that_answers() -> None:
    assert slurm._slurm(sys.executable, "-c", "print(3)") == "3\n"


def test_a_program_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm, "_SECONDS_FOR_SLURM", 0.2)
    assert slurm._slurm(sys.executable, "-c", "import time; time.sleep(60)") is None


# --- submitting


def test_what_a_job_asks_for() -> None:
    settings = SlurmSettings(
        workers=3,
        threads_per_worker=2,
        partition="gpu",
        account="lab",
        qos="high",
        constraint="v100",
        timeout_min=30,
        gpus_per_node=1,
        mem_gb=1.5,
        array_parallelism=8,
        signal_delay_s=60,
        setup=["module load cuda"],
        sbatch={"nice": 100, "requeue": False},
    )
    found = sbatch_parameters(settings, ["/one place", "/other"])
    assert {key: found[key] for key in ("partition", "account", "qos", "constraint")} == {
        "partition": "gpu",
        "account": "lab",
        "qos": "high",
        "constraint": "v100",
    }
    assert (found["time"], found["signal_delay_s"], found["mem"]) == (30, 60, "1536M")
    assert (found["ntasks_per_node"], found["cpus_per_task"], found["gpus_per_node"]) == (3, 2, 1)
    assert found["array_parallelism"] == 8
    assert found["setup"] == [
        "export PYTHONSAFEPATH=1 PYTHONPATH='/one place:/other'",
        "module load cuda",
    ]
    assert found["additional_parameters"] == {"requeue": False, "nice": 100}
    assert found["srun_args"] == ["--kill-on-bad-exit=0"]


def test_what_is_not_set_is_not_asked_for() -> None:
    found = sbatch_parameters(SlurmSettings(), [])
    assert not {"partition", "account", "qos", "mem", "gpus_per_node", "srun_args"} & set(found)
    assert None not in found.values()
    assert (found["ntasks_per_node"], found["cpus_per_task"]) == (1, 1)
    assert found["additional_parameters"] == {"requeue": True}


@pytest.mark.parametrize(
    ("limit", "arrays", "each"), [(8, 1, 8), (8, 3, 2), (2, 5, 1), (None, 3, 1_000_000)]
)
def test_arrays_share_the_limit(limit: int | None, arrays: int, each: int) -> None:
    settings = SlurmSettings(array_parallelism=limit)
    assert sbatch_parameters(settings, [], arrays)["array_parallelism"] == each


@pytest.mark.parametrize(("gigabytes", "text"), [(0.0001, "1M"), (0.5, "512M"), (32, "32768M")])
def test_memory(gigabytes: float, text: str) -> None:
    assert sbatch_parameters(SlurmSettings(mem_gb=gigabytes), [])["mem"] == text


class FakeExecutor:
    """Stands in for submitit's."""

    made: list["FakeExecutor"]
    error: Exception | None

    def __init__(self, folder: Path, max_num_timeout: int) -> None:
        self.parameters: dict[str, Any] = {}
        self.workers: list[Worker] = []
        self.made.append(self)

    def update_parameters(self, **parameters: Any) -> None:
        self.parameters = parameters

    def batch(self) -> "FakeExecutor":
        return self

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        if self.error is not None:
            raise self.error

    def submit(self, worker: Worker) -> Any:
        self.workers.append(worker)
        number = f"{100 + len(self.made)}_{len(self.workers) - 1}"
        return type("Job", (), {"job_id": number})


@pytest.fixture
def executors(monkeypatch: pytest.MonkeyPatch) -> type[FakeExecutor]:
    cls = type("Executor", (FakeExecutor,), {"made": [], "error": None})
    monkeypatch.setattr(slurm, "SlurmExecutor", cls)
    return cls


def test_jobs_are_submitted_as_arrays_that_the_cluster_takes(
    fake: FakeSlurm, executors: type[FakeExecutor], tmp_path: Path
) -> None:
    fake.answers["scontrol"] = "MaxArraySize = 2"
    backend = SlurmBackend(tmp_path, SlurmSettings(array_parallelism=6))
    jobs = backend.submit([Worker("/sweep", [i]) for i in range(5)])
    assert [(job.id, job.runs) for job in jobs] == [
        *(("101_0", [0]), ("101_1", [1]), ("102_0", [2]), ("102_1", [3]), ("103_0", [4])),
    ]
    assert [len(executor.workers) for executor in executors.made] == [2, 2, 1]
    assert {executor.parameters["array_parallelism"] for executor in executors.made} == {2}


SBATCH = """sbatch: error: invalid partition specified: gpux
sbatch: error: Batch job submission failed: Invalid partition name specified"""


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (FailedJobError(SBATCH), "invalid partition specified: gpux Batch job submission failed"),
        (subprocess.CalledProcessError(1, ["sbatch"], stderr=SBATCH), "invalid partition"),
        (FailedSubmissionError("two\n  lines"), "two lines"),
        (subprocess.TimeoutExpired(["sbatch"], 3), "timed out"),
        (FailedJobError("x" * 5000), "x" * 300),
    ],
)
def test_what_slurm_says_against_a_job_is_passed_on(
    fake: FakeSlurm,
    executors: type[FakeExecutor],
    backend: SlurmBackend,
    error: Exception,
    told: str,
) -> None:
    executors.error = error
    with pytest.raises(GsnrError) as refusal:
        backend.submit([Worker("/sweep", [0])])
    message = str(refusal.value)
    assert message.startswith("SLURM did not take the jobs: ")
    assert told in message
    assert "sbatch: error" not in message
    assert "\n" not in message
    assert len(message) < 500


def test_looks_at_the_queue_are_as_far_apart_as_asked_for(backend: SlurmBackend) -> None:
    assert backend.seconds_between_looks == 7.0


def test_every_state_that_slurm_documents_is_judged() -> None:
    """None may count as over that is not, nor the other way round."""
    judge: Callable[[str], JobState] = slurm._judge
    phases = {
        "running": "COMPLETING RESIZING RUNNING SIGNALING STAGE_OUT STOPPED SUSPENDED",
        "pending": "CONFIGURING PENDING PREEMPTED REQUEUED REQUEUE_FED REQUEUE_HOLD SPECIAL_EXIT",
        "gone": "BOOT_FAIL CANCELLED COMPLETED DEADLINE FAILED NODE_FAIL OUT_OF_MEMORY REVOKED "
        "TIMEOUT",
    }
    for phase, states in phases.items():
        for state in states.split():
            assert judge(state).phase == phase, state
            assert judge(f"{state}+").phase == phase, state
