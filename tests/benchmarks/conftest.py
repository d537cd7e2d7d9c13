"""What benchmarks change in this process is put back."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    """Put the number of PyTorch's threads back: contenders set what is best for them."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
