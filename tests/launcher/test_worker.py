"""What a worker sends back."""

from pathlib import Path

import cloudpickle
import pytest
from hydra.core.utils import JobReturn, JobStatus

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.launcher.worker import Report, _report
from gsnr_sweep.record import RunRecord
from gsnr_sweep.run import RunResult


def _returned(value: object, status: JobStatus) -> JobReturn:
    done = JobReturn()
    done.return_value, done.status = value, status
    return done


def test_a_result_is_passed_on_and_survives_pickling() -> None:
    result = RunResult(RunRecord("a", {}, "", {}), str(Path("folder")), "", "")
    report = _report(_returned(result, JobStatus.COMPLETED))
    assert report == Report(result, "")
    assert cloudpickle.loads(cloudpickle.dumps(report)) == report


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
    assert _report(_returned(error, JobStatus.FAILED)) == Report(None, told)


def test_a_task_that_returns_something_else_is_a_failure() -> None:
    assert _report(_returned(3, JobStatus.COMPLETED)) == Report(None, "returned int")
