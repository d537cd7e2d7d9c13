"""Choosing where to compute, and with what arithmetic."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.runs.device import choose_device, describe_device, set_exact_arithmetic
from gsnr_sweep.runs.runner import run_point
from tests.conftest import MakeConfig


def test_automatic_choice_is_a_gpu_if_there_is_one() -> None:
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert choose_device("auto").type == expected
    assert choose_device("cpu") == torch.device("cpu")
    assert describe_device(torch.device("cpu")) == "cpu"


def test_a_gpu_that_is_not_there_is_refused_with_what_there_is() -> None:
    count = torch.cuda.device_count()
    with pytest.raises(GsnrError, match=rf"device=cuda:99: this machine has {count} CUDA"):
        choose_device("cuda:99")


@pytest.fixture
def exact_afterwards() -> Iterator[None]:
    yield
    set_exact_arithmetic()


@pytest.mark.usefixtures("exact_afterwards")
def test_arithmetic_is_that_of_the_dtype_asked_for() -> None:
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    set_exact_arithmetic()
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cudnn.benchmark
    assert torch.backends.cudnn.deterministic


@pytest.mark.usefixtures("exact_afterwards")
def test_tf32_only_if_asked_for_and_as_reproducible() -> None:
    set_exact_arithmetic(tf32=True)
    assert torch.backends.cuda.matmul.allow_tf32
    assert torch.backends.cudnn.allow_tf32
    assert not torch.backends.cudnn.benchmark
    assert torch.backends.cudnn.deterministic


@pytest.mark.usefixtures("exact_afterwards")
def test_tf32_changes_nothing_on_a_cpu() -> None:
    torch.manual_seed(0)
    a, b = torch.randn(64, 64), torch.randn(64, 64)
    expected = a @ b
    set_exact_arithmetic(tf32=True)
    assert torch.equal(a @ b, expected)


@pytest.mark.usefixtures("exact_afterwards")
@pytest.mark.parametrize("tf32", [False, True])
def test_a_run_computes_as_its_config_says(
    tf32: bool, make_config: MakeConfig, folder: Path
) -> None:
    cfg = make_config(f"tf32={str(tf32).lower()}", "data=toy", "model=mlp", "tracking=none")
    torch.backends.cuda.matmul.allow_tf32 = not tf32
    run_point(cfg, folder)
    assert torch.backends.cuda.matmul.allow_tf32 is tf32
    assert torch.backends.cudnn.allow_tf32 is tf32
