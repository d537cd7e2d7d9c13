import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from gsnr_sweep.models.mlp import MLP
from gsnr_sweep.models.table2_cnn import Table2CNN
from gsnr_sweep.models.table3_cnn import Table3CNN
from gsnr_sweep.preflight.flops import count_flops


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.attention(x, x, x)[0]


CASES = {
    "table2": (lambda: Table2CNN(4, (1, 28, 28), 10), (3, 1, 28, 28)),
    "table3": (lambda: Table3CNN(2, (3, 32, 32), 10), (3, 3, 32, 32)),
    "mlp": (lambda: MLP(8, (4,), 3), (3, 4)),
    "attention": (Attention, (3, 5, 8)),
    "lstm": (lambda: nn.LSTM(4, 6, batch_first=True), (3, 5, 4)),
}


@pytest.mark.parametrize("name", CASES)
def test_the_count_is_that_of_pytorch(name: str) -> None:
    make, shape = CASES[name]
    model, x = make(), torch.randn(shape)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        expected = model(x)
    result, flops = count_flops(lambda: model(x))
    assert flops == counter.get_total_flops()
    assert flops > 0 or name == "lstm"  # a fused kernel that PyTorch has no formula for
    torch.testing.assert_close(result, expected)


def test_counting_does_not_load_the_compiler() -> None:
    code = (
        "import sys, torch; from gsnr_sweep.preflight.flops import count_flops; "
        "count_flops(lambda: torch.nn.Linear(2, 3)(torch.ones(1, 2))); "
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
