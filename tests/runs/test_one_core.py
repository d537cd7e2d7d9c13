"""Work in a thread in which PyTorch uses one core."""

import threading

import pytest
import torch

from gsnr_sweep.runs.device import on_one_core


def test_one_core_there_and_as_many_as_before_here() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        cores, thread = on_one_core(lambda: (torch.get_num_threads(), threading.get_ident()))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert cores == 1
    assert thread != threading.get_ident()


def test_arguments_results_and_errors_pass_through() -> None:
    assert on_one_core(divmod, 17, 5) == (3, 2)
    with pytest.raises(ZeroDivisionError):
        on_one_core(divmod, 1, 0)
