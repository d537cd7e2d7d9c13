"""The mean loss and its gradient against plain PyTorch, finite differences and exact sums."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gsnr_sweep.data.samples import Samples, Standardization
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.losses.loss import CROSS_ENTROPY, SQUARED_ERROR
from gsnr_sweep.measures.complexity.mean_loss import MeanLoss, parameter_vector
from tests.measures.complexity.references import (
    NETWORKS,
    left_as_it_was,
    linear,
    noise_samples,
    reference,
)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("chunk_size", [1, 7, 1000])
def test_loss_of_the_references(name: str, chunk_size: int) -> None:
    model, samples, values = reference(name)
    mean_loss = MeanLoss(model, samples, CROSS_ENTROPY, chunk_size)
    assert mean_loss.at_parameters() == pytest.approx(values["loss"], rel=1e-9)


@pytest.mark.parametrize("name", NETWORKS)
def test_gradient_is_the_slope_of_the_loss(name: str) -> None:
    model, samples, _ = reference(name)
    mean_loss = MeanLoss(model, samples, CROSS_ENTROPY, 9)
    w = mean_loss.parameters
    gradient = mean_loss.gradient(w)
    for direction in torch.eye(len(w), dtype=w.dtype)[::11]:
        ends = [mean_loss.value(w + h * direction) for h in (-1e-6, 1e-6)]
        assert float(gradient @ direction) == pytest.approx((ends[1] - ends[0]) / 2e-6, abs=1e-7)


def test_gradient_of_some_rows_is_that_of_a_backward_pass() -> None:
    model, samples, _ = reference("conv")
    mean_loss = MeanLoss(model, samples, CROSS_ENTROPY, 2)
    rows = torch.tensor([3, 39, 5])
    found = mean_loss.gradient(mean_loss.parameters, rows)
    torch.nn.functional.cross_entropy(model(samples.x[rows]), samples.y[rows]).backward()
    flat = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    torch.testing.assert_close(found, flat, rtol=1e-10, atol=1e-14)


def test_pixels_are_standardized() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, size=(9, 1, 2, 2), dtype=np.uint8)
    targets = rng.normal(size=(9, 3))
    model = nn.Sequential(nn.Flatten(), linear(4, 3)).eval()
    samples = Samples(
        torch.from_numpy(pixels),
        torch.from_numpy(targets),
        Standardization(mean=(0.3,), std=(0.5,), scale=255.0),
    )
    x = ((pixels / 255 - 0.3) / 0.5).reshape(9, 4)
    expected = ((x @ linear(4, 3).weight.detach().numpy().T - targets) ** 2).sum(1).mean()
    found = MeanLoss(model, samples, SQUARED_ERROR, 4).at_parameters()
    assert found == pytest.approx(expected, rel=1e-6)  # the standardization has float32 factors


def test_sums_are_in_float64() -> None:
    """In float32, 2^24 + 1 is 2^24."""
    model = nn.Linear(1, 1, bias=False).eval()
    model.weight.data.fill_(1)
    samples = Samples(torch.tensor([[2.0**24], [1.0], [1.0]]), torch.zeros(3))
    for chunk_size in (1, 3):
        mean_loss = MeanLoss(model, samples, lambda f, _: f[:, 0], chunk_size)
        assert mean_loss.at_parameters() == (2**24 + 2) / 3


def test_only_trained_parameters_are_in_the_vector() -> None:
    model = nn.Sequential(linear(3, 2, bias=True), linear(2, bias=True)).eval()
    for p in model[0].parameters():
        p.requires_grad_(False)
    expected = torch.cat([model[1].weight.flatten(), model[1].bias]).detach()
    assert torch.equal(parameter_vector(model), expected)
    mean_loss = MeanLoss(model, noise_samples(5, 3), SQUARED_ERROR, 2)
    assert torch.equal(mean_loss.parameters, expected)
    assert mean_loss.gradient(mean_loss.parameters).shape == expected.shape


class _Counting(nn.Module):
    """Counts its calls in a buffer and ends with a loss that fails."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 1)
        self.calls: Tensor
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.fc(x)


def test_the_network_is_left_as_it_was() -> None:
    model = _Counting().double().eval()
    samples = noise_samples(6, 2)
    with left_as_it_was(model):
        mean_loss = MeanLoss(model, samples, SQUARED_ERROR, 2)
        mean_loss.value(mean_loss.parameters + 1)
        mean_loss.gradient(mean_loss.parameters + 1)

    def failing(outputs: Tensor, targets: Tensor) -> Tensor:
        raise ZeroDivisionError

    with left_as_it_was(model):
        mean_loss = MeanLoss(model, samples, failing, 2)
        with pytest.raises(ZeroDivisionError):
            mean_loss.gradient(mean_loss.parameters)


def test_mini_batches_are_without_replacement() -> None:
    mean_loss = MeanLoss(linear(2), noise_samples(10, 2), SQUARED_ERROR, 4)
    generator = torch.Generator().manual_seed(0)
    drawn = [mean_loss.random_rows(4, generator) for _ in range(200)]
    rows = torch.stack([r for r in drawn if r is not None])
    assert rows.shape == (200, 4)
    assert all(len(set(row)) == 4 for row in rows.tolist())
    counts = torch.bincount(rows.flatten(), minlength=10)
    assert bool(((counts > 50) & (counts < 110)).all())  # 80 ± 7 expected
    assert mean_loss.random_rows(None, generator) is None
    assert mean_loss.random_rows(10, generator) is None


def _make(
    model: nn.Module | None = None, samples: Samples | None = None, chunk_size: int = 3
) -> MeanLoss:
    data = noise_samples(5, 2) if samples is None else samples
    return MeanLoss(model or linear(2), data, SQUARED_ERROR, chunk_size)


def test_what_is_refused() -> None:
    with pytest.raises(GsnrError, match=r"training mode.*model\.eval"):
        _make(linear(2).train())
    with pytest.raises(GsnrError, match="no sample"):
        _make(samples=Samples(torch.zeros(0, 2), torch.zeros(0, 1)))
    with pytest.raises(GsnrError, match="chunk_size=0"):
        _make(chunk_size=0)
    with pytest.raises(GsnrError, match="no parameter with requires_grad"):
        _make(nn.Flatten().eval())
    with pytest.raises(GsnrError, match="no parameter with requires_grad"):
        _make(linear(2).requires_grad_(False))
    with pytest.raises(GsnrError, match="float32 and float64"):
        _make(nn.Sequential(linear(2), nn.Linear(1, 1)).eval())
    broken = linear(2)
    broken.weight.data[0, 0] = torch.nan
    with pytest.raises(GsnrError, match=r"is nan before any perturbation"):
        _make(broken).at_parameters()
    for loss in (nn.MSELoss(), nn.MSELoss(reduction="none")):
        with pytest.raises(GsnrError, match=r"one value for each sample"):
            MeanLoss(linear(2, 2), noise_samples(5, 2, 2), loss, 3).at_parameters()


def test_kernels_in_channels_last_memory_are_read_and_moved_the_same() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 9, 2)).double().eval()
    samples = Samples(torch.rand(6, 3, 5, 5).double(), torch.zeros(6, dtype=torch.long))
    plain = MeanLoss(model, samples, lambda f, _: f.square().sum(1), 4)
    last = copy.deepcopy(model).to(memory_format=torch.channels_last)
    moved = MeanLoss(last, samples, lambda f, _: f.square().sum(1), 4)
    assert torch.equal(plain.parameters, moved.parameters)
    w = plain.parameters + torch.rand(len(plain.parameters)).double()
    assert moved.value(w) == pytest.approx(plain.value(w), rel=1e-12)
    torch.testing.assert_close(moved.gradient(w), plain.gradient(w), rtol=1e-12, atol=1e-12)
