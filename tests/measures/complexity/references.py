"""Two fixed networks with values of an independent implementation, and what tests share."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.utils import vector_to_parameters

from gsnr_sweep.data.samples import Samples
from gsnr_sweep.data.seeding import global_generators_state

VALUES: dict[str, Any] = json.loads((Path(__file__).parent / "sharpness_values.json").read_text())
NETWORKS = ("mlp", "conv")


def reference(name: str) -> tuple[nn.Module, Samples, dict[str, Any]]:
    """A network in evaluation mode, its samples, and its values."""
    values = VALUES[name]
    model = _mlp() if name == "mlp" else _conv()
    flat = torch.tensor(values["parameters"], dtype=torch.float64)
    assert len(flat) == sum(p.numel() for p in model.parameters())
    vector_to_parameters(flat, model.parameters())
    x = torch.tensor(values["x"], dtype=torch.float64)
    return model.eval(), Samples(x, torch.tensor(values["y"])), values


def _mlp() -> nn.Sequential:
    fc1, fc2, fc3 = (nn.Linear(i, o, bias=False) for i, o in ((4, 5), (5, 4), (4, 3)))
    return nn.Sequential(fc1, nn.ReLU(), fc2, nn.ReLU(), fc3).double()


def _conv() -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(3, 2, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2)),
        *(nn.Flatten(), nn.Linear(8, 3)),
    ).double()


def linear(inputs: int, outputs: int = 1, seed: int = 0, bias: bool = False) -> nn.Linear:
    """A linear map in float64 with standard normal parameters."""
    generator = torch.Generator().manual_seed(seed)
    layer = nn.Linear(inputs, outputs, bias=bias).double()
    for p in layer.parameters():
        p.data = torch.randn(p.shape, generator=generator, dtype=torch.float64)
    return layer.eval()


def noise_samples(count: int, inputs: int, outputs: int = 1, seed: int = 1) -> Samples:
    """Standard normal inputs and targets in float64."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, inputs, generator=generator, dtype=torch.float64)
    return Samples(x, torch.randn(count, outputs, generator=generator, dtype=torch.float64))


@contextmanager
def left_as_it_was(model: nn.Module) -> Iterator[None]:
    """Check that a network and all global random numbers are bit for bit what they were."""
    state = {name: value.clone() for name, value in model.state_dict().items()}
    flags = [(p.requires_grad, p.grad is None) for p in model.parameters()]
    identities = [id(p) for p in model.parameters()]
    modes, numbers = [m.training for m in model.modules()], global_generators_state()
    try:
        yield
    finally:
        assert all(torch.equal(value, state[n]) for n, value in model.state_dict().items())
        assert [(p.requires_grad, p.grad is None) for p in model.parameters()] == flags
        assert [id(p) for p in model.parameters()] == identities
        assert [m.training for m in model.modules()] == modes
        assert global_generators_state() == numbers
