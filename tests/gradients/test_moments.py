"""Moments of per-sample gradients against sample-by-sample autograd, in float64."""

import weakref

import pytest
import torch
from torch import Tensor, nn

from gsnr_sweep.data.torchvision_import import import_torchvision
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.gradients import Method, Moments, choose_method, gradient_moments
from gsnr_sweep.gradients.layer_io import layerwise_gradients
from gsnr_sweep.gradients.per_sample import DenseGradients, PerSampleGradients
from gsnr_sweep.losses.loss import CROSS_ENTROPY, SQUARED_ERROR
from gsnr_sweep.training.snapshot import GRADIENT_RESOLUTION
from tests.gradients.cases import CASES
from tests.gradients.oracles import per_sample_gradients

N = 7


def _batch(shape: tuple[int, ...], n: int = N) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n, *shape, generator=generator, dtype=torch.float64)
    return x, torch.randint(0, 4, (n,), generator=generator)


def _case(name: str) -> tuple[nn.Module, Tensor, Tensor, Method]:
    factory, shape, method = CASES[name]
    torch.manual_seed(0)
    model = factory().double()
    return model, *_batch(shape), method


def _assert_moments(moments: Moments, gradients: Tensor) -> None:
    torch.testing.assert_close(moments.sum, gradients.sum(0), rtol=1e-10, atol=1e-13)
    torch.testing.assert_close(
        moments.sum_of_squares, gradients.square().sum(0), rtol=1e-10, atol=1e-14
    )
    more_than_rounding = gradients.abs().amax(0) > 1e-13
    for counted, right in ((moments.positive, gradients > 0), (moments.negative, gradients < 0)):
        expected = right.sum(0).double()
        assert torch.equal(counted[more_than_rounding], expected[more_than_rounding])
    assert moments.count == len(gradients)


@pytest.mark.parametrize("name", CASES)
def test_moments_equal_autograd_sample_by_sample(name: str) -> None:
    model, x, y, expected_method = _case(name)
    method = choose_method(model, x[:3], y[:3], CROSS_ENTROPY)
    assert method is expected_method
    moments = gradient_moments(model, [(x, y)], CROSS_ENTROPY, method)
    _assert_moments(moments, per_sample_gradients(model, x, y, CROSS_ENTROPY))


@pytest.mark.parametrize("name", ["mlp", "conv_everything", "max_pool", "residual_in_place"])
def test_whole_network_way_agrees_with_layers(name: str) -> None:
    model, x, y, _ = _case(name)
    by_layers = gradient_moments(model, [(x, y)], CROSS_ENTROPY, Method.LAYERWISE)
    by_network = gradient_moments(model, [(x, y)], CROSS_ENTROPY, Method.FUNCTORCH)
    torch.testing.assert_close(by_layers.sum_of_squares, by_network.sum_of_squares)
    torch.testing.assert_close(by_layers.sum, by_network.sum)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("name", ["mlp", "conv_groups", "batch_norm_2d_eval", "shared_layer"])
def test_moments_do_not_depend_on_the_chunk_size(name: str, size: int) -> None:
    model, x, y, method = _case(name)
    chunks = [(x[i : i + size], y[i : i + size]) for i in range(0, N, size)]
    split = gradient_moments(model, chunks, CROSS_ENTROPY, method)
    _assert_moments(split, per_sample_gradients(model, x, y, CROSS_ENTROPY))


def test_regression_loss() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 5), nn.ReLU(), nn.Linear(5, 1)).double()
    x, y = torch.randn(9, 2).double(), torch.randn(9, 1).double()
    moments = gradient_moments(model, [(x, y)], SQUARED_ERROR)
    _assert_moments(moments, per_sample_gradients(model, x, y, SQUARED_ERROR))


def test_resnet18_in_evaluation_mode() -> None:
    torch.manual_seed(0)
    resnet18 = import_torchvision("torchvision.models").resnet18
    model = resnet18(num_classes=4)
    model.train()
    with torch.no_grad():
        model(torch.randn(8, 3, 32, 32))
    model = model.eval().double()
    x, y = _batch((3, 32, 32), n=3)
    assert choose_method(model, x, y, CROSS_ENTROPY) is Method.LAYERWISE
    moments = gradient_moments(model, [(x[:2], y[:2]), (x[2:], y[2:])], CROSS_ENTROPY)
    gradients = per_sample_gradients(model, x, y, CROSS_ENTROPY)
    torch.testing.assert_close(moments.sum, gradients.sum(0), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(
        moments.sum_of_squares, gradients.square().sum(0), rtol=1e-9, atol=1e-12
    )


def test_float32_stays_close_to_float64() -> None:
    model, x, y, _ = _case("max_pool")
    exact = gradient_moments(model, [(x, y)], CROSS_ENTROPY)
    single = gradient_moments(model.float(), [(x.float(), y)], CROSS_ENTROPY)
    assert single.sum.dtype is torch.float64
    torch.testing.assert_close(single.sum, exact.sum, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(single.sum_of_squares, exact.sum_of_squares, rtol=1e-4, atol=1e-6)


def test_identical_samples_have_no_variance_whatever_the_chunk() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 5), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(576, 10))
    x, y = torch.randn(1, 1, 28, 28).expand(600, -1, -1, -1), torch.zeros(600, dtype=torch.long)
    moments = gradient_moments(model, [(x, y)], CROSS_ENTROPY)
    mean_square = moments.sum_of_squares / 600
    variance = mean_square - (moments.sum / 600).square()
    assert bool((variance <= GRADIENT_RESOLUTION["float32"] * mean_square).all())


def test_gradients_are_handed_over_layer_by_layer() -> None:
    """Only one layer's per-sample gradients may be alive at a time."""
    torch.manual_seed(0)
    model = nn.Sequential(*(nn.Conv1d(6, 6, 3, padding=1) for _ in range(4)), nn.Flatten())
    alive: list[weakref.ref[Tensor]] = []
    most = 0

    def receive(_: str, gradients: PerSampleGradients) -> None:
        nonlocal most
        assert isinstance(gradients, DenseGradients)
        alive.append(weakref.ref(gradients.values))
        most = max(most, sum(reference() is not None for reference in alive))

    layerwise_gradients(model, torch.randn(5, 6, 4), torch.randn(5, 24), SQUARED_ERROR, receive)
    assert len(alive) == 8
    assert most <= 2  # weight and bias of one layer


def test_losses_and_outputs_come_with_the_moments() -> None:
    model, x, y, _ = _case("mlp")
    seen: list[tuple[Tensor, Tensor, Tensor]] = []
    gradient_moments(
        model, [(x[:4], y[:4]), (x[4:], y[4:])], CROSS_ENTROPY, on_chunk=lambda *c: seen.append(c)
    )
    outputs = torch.cat([chunk[0] for chunk in seen])
    losses = torch.cat([chunk[2] for chunk in seen])
    torch.testing.assert_close(outputs, model(x).detach())
    torch.testing.assert_close(losses, CROSS_ENTROPY(model(x), y).detach())
    assert not losses.requires_grad


def test_the_network_is_left_as_it_was() -> None:
    model, x, y, _ = _case("conv")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    gradient_moments(model, [(x, y)], CROSS_ENTROPY)
    assert all(not module._forward_hooks for module in model.modules())
    assert all(p.grad is None for p in model.parameters())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


class _Mixing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x - x.mean(0))


class _Constant(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros(len(x), 4, dtype=x.dtype)


REFUSED = {
    "mixes samples": (_Mixing, "depends on the other samples"),
    "batch norm in training mode": (
        lambda: nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4, track_running_stats=False)),
        "depends on the other samples",
    ),
    "dropout": (
        lambda: nn.Sequential(nn.Linear(6, 64), nn.Dropout(0.5), nn.Linear(64, 4)).train(),
        "different outputs for the same input",
    ),
    "constant": (_Constant, "does not depend on its parameters"),
    "nothing trained": (lambda: nn.Linear(6, 4).requires_grad_(False), "no trained parameters"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_where_per_sample_gradients_do_not_exist(name: str) -> None:
    factory, reason = REFUSED[name]
    torch.manual_seed(0)
    x, y = _batch((6,), 3)
    with pytest.raises(GsnrError, match=reason):
        choose_method(factory(), x, y, CROSS_ENTROPY)


@pytest.mark.parametrize("n", [1, 15, 16, 17, 33, 300])
@pytest.mark.parametrize("transposed", [False, True])
def test_sums_over_samples_are_as_exact_as_their_terms(n: int, transposed: bool) -> None:
    """Of gradients in float32, whatever their number and their order in memory."""
    generator = torch.Generator().manual_seed(n)
    values = torch.randn(n, 5, 7, generator=generator) + 100
    if transposed:
        values = values.transpose(1, 2).contiguous().transpose(1, 2)
    gradients, exact = DenseGradients(values), values.double()
    for found, expected in (
        (gradients.sum(), exact.sum(0)),
        (gradients.sum_of_squares(), exact.square().sum(0)),
    ):
        assert (found.dtype, found.shape) == (torch.float64, (5, 7))
        torch.testing.assert_close(found, expected, rtol=4e-7, atol=0)
