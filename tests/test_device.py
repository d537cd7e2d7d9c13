"""Choosing where to compute, and with what arithmetic."""

import pytest
import torch

from gsnr_sweep.device import choose_device, describe_device, set_exact_arithmetic
from gsnr_sweep.errors import GsnrError


def test_automatic_choice_is_a_gpu_if_there_is_one() -> None:
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert choose_device("auto").type == expected
    assert choose_device("cpu") == torch.device("cpu")
    assert describe_device(torch.device("cpu")) == "cpu"


def test_a_gpu_that_is_not_there_is_refused_with_what_there_is() -> None:
    count = torch.cuda.device_count()
    with pytest.raises(GsnrError, match=rf"device=cuda:99: this machine has {count} CUDA"):
        choose_device("cuda:99")


def test_arithmetic_is_that_of_the_dtype_asked_for() -> None:
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    set_exact_arithmetic()
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cudnn.benchmark
    assert torch.backends.cudnn.deterministic
