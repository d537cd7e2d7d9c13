"""A run that needs more memory than there is ends with an error."""

import resource
from pathlib import Path

import numpy as np
import pytest
import torch

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.records.record import read_record
from gsnr_sweep.records.status import read_status
from gsnr_sweep.runs import memory_guard
from gsnr_sweep.runs.memory_guard import OutOfMemoryError, within_memory
from gsnr_sweep.runs.outcome import may_pass
from gsnr_sweep.runs.runner import run_point
from gsnr_sweep.user_code import UserCodeError
from tests.conftest import tiny_config

CPU = torch.device("cpu")
CFG = tiny_config()
MB = 10**6
linux = pytest.mark.skipif(
    not memory_guard._taken().used, reason="this system does not tell what a process has taken"
)


def _machine_with(left: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have so much left now, and less by what this process takes from then on."""
    start = memory_guard._taken().used
    monkeypatch.setattr(memory_guard, "_RESERVE", 0)
    monkeypatch.setattr(
        memory_guard, "memory_left", lambda: start + left - memory_guard._taken().used
    )


@linux
@pytest.mark.parametrize(
    "ask",
    [
        lambda: torch.zeros(400 * MB // 4),
        lambda: np.zeros(400 * MB // 8),
        lambda: bytearray(400 * MB),
        lambda: [torch.zeros(40 * MB // 4) for _ in range(60)],
    ],
    ids=["torch", "numpy", "python", "piecemeal"],
)
def test_asking_for_more_than_is_left_fails(ask: object, monkeypatch: pytest.MonkeyPatch) -> None:
    assert callable(ask)
    _machine_with(300 * MB, monkeypatch)
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with (
        pytest.raises(OutOfMemoryError, match=r"Memory ran out .* memory_limit=1GB.*n_sets=2") as e,
        within_memory(tiny_config("memory_limit=1GB", "n_sets=2"), CPU),
    ):
        ask()
    assert may_pass(e.value)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


@linux
def test_what_fits_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    _machine_with(300 * MB, monkeypatch)
    with within_memory(CFG, CPU):
        for _ in range(5):  # given back each time
            assert torch.zeros(100 * MB // 4).sum() == 0


@linux
def test_a_run_says_which_key_to_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sets take more than a process of other tests may have given back and still holds."""
    _machine_with(100 * MB, monkeypatch)
    cfg = tiny_config("data=toy", "model=mlp", "ch=9", "n=200000", "n_sets=300", "threads=1")
    with pytest.raises(OutOfMemoryError, match=r"Memory ran out.*n_sets=300, n=200000"):
        run_point(cfg, tmp_path)
    status = read_status(tmp_path)
    assert status is not None
    assert (status.state, status.may_pass) == ("failed", True)
    record = read_record(tmp_path)
    assert record is not None
    assert "Memory ran out" in record.error


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 64 bytes"),
        RuntimeError("could not create a memory object"),
    ],
)
def test_each_librarys_way_to_say_so(error: Exception) -> None:
    wrapped = UserCodeError("measures.functions.own: it fails.")
    wrapped.__cause__ = error
    for raised in (error, wrapped):
        with pytest.raises(OutOfMemoryError, match="Memory ran out"), within_memory(CFG, CPU):
            raise raised


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes differ"), GsnrError("n=0"), KeyboardInterrupt(), ValueError()]
)
def test_other_errors_are_left_alone(error: BaseException) -> None:
    with pytest.raises(type(error)) as told, within_memory(CFG, CPU):
        raise error
    assert told.value is error


def test_a_limit_that_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: given.append(limits))
    monkeypatch.setattr(memory_guard, "_AT_FIRST", (5 * MB, 10**15))
    with within_memory(CFG, CPU):
        pass
    assert given
    assert set(given) == {(5 * MB, 10**15)}
