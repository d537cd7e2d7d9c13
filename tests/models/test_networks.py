"""The papers' networks against their tables: sizes by hand, and the order of pooling and ReLU."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from gsnr_sweep.models.mlp import MLP
from gsnr_sweep.models.strided_cnn import StridedCNN
from gsnr_sweep.models.table2_cnn import Table2CNN
from gsnr_sweep.models.table3_cnn import Table3CNN

DIGITS, CIFAR = (1, 28, 28), (3, 32, 32)


def _size(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


# --- sizes


@pytest.mark.parametrize(
    ("p", "q", "size"),
    [
        # conv(1→p) 26p, conv(p→q) 25pq + q, fc(16q→10q) 160q² + 10q, fc(10q→10) 100q + 10
        (6, 15, 156 + 2_265 + 36_150 + 1_510),
        (7, 17, 182 + 2_992 + 46_410 + 1_710),  # int(2.5 · 7) = 17
        (20, 50, 520 + 25_050 + 400_500 + 5_010),
    ],
)
def test_table_2_has_the_papers_sizes(p: int, q: int, size: int) -> None:
    model = Table2CNN(p, DIGITS, 10)
    assert _size(model) == size
    assert (model.fc1.in_features, model.fc1.out_features) == (16 * q, 10 * q)
    assert model(torch.zeros(2, *DIGITS)).shape == (2, 10)


@pytest.mark.parametrize("p", [1, 6])
def test_table_3_has_the_papers_sizes(p: int) -> None:
    model = Table3CNN(p, CIFAR, 10)
    convolutions = [(3, p), (p, p), (p, 2 * p), (2 * p, 2 * p)]
    convolutions += [(2 * p, 4 * p), (4 * p, 4 * p), (4 * p, 8 * p), (8 * p, 8 * p)]
    size = sum(9 * a * b + b + 2 * b for a, b in convolutions)  # kernel, bias, normalization
    size += (32 * p * 8 * p + 8 * p) + (8 * p * 8 * p + 8 * p) + (8 * p * 10 + 10)
    assert _size(model) == size
    found = [(m.in_channels, m.out_channels) for m in model if isinstance(m, nn.Conv2d)]
    assert found == convolutions
    assert model(torch.zeros(2, *CIFAR)).shape == (2, 10)


def test_table_3_at_width_one_counted_by_hand() -> None:
    # eight convolutions, each with its normalization's two parameters a channel; three full layers
    by_hand = (28 + 2) + (10 + 2) + (20 + 4) + (38 + 4) + (76 + 8) + (148 + 8) + (296 + 16)
    by_hand += (584 + 16) + (32 * 8 + 8) + (8 * 8 + 8) + (8 * 10 + 10)
    assert _size(Table3CNN(1, CIFAR, 10)) == by_hand == 1686


@pytest.mark.parametrize("width", [6, 20])
def test_the_toys_network_is_2_n_1(width: int) -> None:
    model = MLP(width, (2,), 1)
    assert _size(model) == 2 * width + width + width + 1
    assert [type(layer) for layer in model] == [nn.Linear, nn.ReLU, nn.Linear]


def test_an_mlp_flattens_images_and_can_be_deep() -> None:
    model = MLP(5, (1, 4, 3), 7, depth=3)
    widths = [(m.in_features, m.out_features) for m in model if isinstance(m, nn.Linear)]
    assert widths == [(12, 5), (5, 5), (5, 5), (5, 7)]
    assert model(torch.zeros(2, 1, 4, 3)).shape == (2, 7)


def test_an_mlp_without_biases() -> None:
    """Ten hidden layers of 1000 units on 32×32 pixels have 10.03 million weights."""
    with torch.device("meta"):
        model = MLP(1000, (1, 32, 32), 10, depth=10, bias=False)
        assert _size(model) == 1024 * 1000 + 9 * 1000**2 + 1000 * 10 == 10_034_000
        assert _size(MLP(1000, (1, 32, 32), 10, depth=10)) == 10_034_000 + 10 * 1000 + 10
    small = MLP(5, (6,), 7, depth=3, bias=False)
    assert [name for name, _ in small.named_parameters()] == [f"fc{i}.weight" for i in range(1, 5)]
    x = torch.randn(4, 6)
    torch.testing.assert_close(small(3 * x), 3 * small(x))  # without biases it is homogeneous


@pytest.mark.parametrize("network", [Table2CNN, Table3CNN, StridedCNN])
def test_other_images_change_only_the_first_full_layer(network: type[nn.Module]) -> None:
    for shape in ((1, 28, 28), (3, 32, 32), (2, 16, 40)):
        assert network(4, shape, 5)(torch.zeros(3, *shape)).shape == (3, 5)


@pytest.mark.parametrize("network", [Table2CNN, Table3CNN, StridedCNN])
@pytest.mark.parametrize("shape", [(2,), (28, 28), (1, 15, 28), (1, 28, 15)])
def test_what_is_no_image_is_refused(network: type[nn.Module], shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least 16x16"):
        network(4, shape, 10)


def test_an_mlp_without_hidden_layers_is_linear() -> None:
    model = MLP(4, DIGITS, 10, depth=0)
    assert [type(layer) for layer in model] == [nn.Flatten, nn.Linear]
    assert _size(model) == 784 * 10 + 10
    x = torch.randn(3, *DIGITS)
    by_hand = [[(w @ one.flatten()).item() for w in model.fc1.weight] for one in x]
    torch.testing.assert_close(model(x), torch.tensor(by_hand) + model.fc1.bias)
    with pytest.raises(ValueError, match="depth=-1"):
        MLP(4, (2,), 1, depth=-1)


@pytest.mark.parametrize(("p", "q"), [(1, 4), (8, 32)])
def test_the_strided_network_halves_the_image_three_times(p: int, q: int) -> None:
    model = StridedCNN(p, CIFAR, 10)
    pairs = [(3, p), (p, 2 * p), (2 * p, q)]
    size = sum(9 * a * b + b for a, b in pairs) + 4 * 4 * q * 10 + 10
    assert _size(model) == size == {1: 28 + 20 + 76 + 650, 8: 11_162}[p]
    x = torch.randn(2, *CIFAR)
    weights = [m for m in model if isinstance(m, nn.Conv2d)]
    expected = x
    for conv in weights:  # every second place of the convolution without a stride
        full = nn.functional.conv2d(expected, conv.weight, conv.bias, padding=1)
        expected = full[..., ::2, ::2].relu()
    torch.testing.assert_close(model(x), model.fc(expected.flatten(1)))


# --- pooling before ReLU


def _paper_order(model: nn.Sequential) -> Iterator[nn.Module]:
    """The same layers with every pooling moved behind the ReLU that follows it."""
    layers = list(model)
    for here, after in zip(layers, [*layers[1:], None], strict=True):
        if isinstance(here, nn.MaxPool2d) and isinstance(after, nn.ReLU):
            yield after
            yield here
        elif not (isinstance(here, nn.ReLU) and _follows_pool(layers, here)):
            yield here


def _follows_pool(layers: list[nn.Module], layer: nn.Module) -> bool:
    at = next(i for i, other in enumerate(layers) if other is layer)
    return at > 0 and isinstance(layers[at - 1], nn.MaxPool2d)


def _values_and_gradients(model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, list[Tensor]]:
    outputs = model(x)
    loss = nn.functional.cross_entropy(outputs, y)
    return outputs, list(torch.autograd.grad(loss, list(model.parameters())))


@pytest.mark.parametrize(("network", "shape"), [(Table2CNN, DIGITS), (Table3CNN, CIFAR)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pooling_before_relu_is_the_papers_network_exactly(
    network: type[nn.Sequential], shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    ours = network(4, shape, 10).to(dtype)
    papers = nn.Sequential(*_paper_order(ours))
    kinds = [type(layer) for layer in papers]
    pools = [i for i, kind in enumerate(kinds) if kind is nn.MaxPool2d]
    assert pools
    assert len(papers) == len(ours)
    assert all(kinds[i - 1] is nn.ReLU for i in pools)
    x, y = torch.randn(8, *shape, dtype=dtype), torch.randint(0, 10, (8,))
    (values, gradients), (expected, expected_gradients) = (
        _values_and_gradients(model, x, y) for model in (ours, papers)
    )
    assert torch.equal(values, expected)
    by_place = {id(p): g for p, g in zip(papers.parameters(), expected_gradients, strict=True)}
    for p, gradient in zip(ours.parameters(), gradients, strict=True):
        assert torch.equal(gradient, by_place[id(p)])
