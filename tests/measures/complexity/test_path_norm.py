"""Sums over paths against lists of all paths, dense matrices and decimal numbers."""

import decimal
import math
from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.measures.complexity.folding import folded
from gsnr_sweep.measures.complexity.graph import read_network
from gsnr_sweep.measures.complexity.path_norm import log_path_sum
from tests.measures.complexity.networks import (
    NETWORKS,
    VECTORS,
    BasicBlock,
    PreActivationBlock,
    dense_bias,
    dense_matrix,
    given_inputs,
    given_network,
    randomized,
    wide,
)

RULES = [(bias, pooling) for bias in ("edge", "none") for pooling in ("as_is", "paths")]


def found(model: nn.Module, shape: tuple[int, ...], p: int, bias: str, pooling: str) -> float:
    x = torch.randn(2, *shape, generator=torch.Generator().manual_seed(5))
    network = read_network(folded(model, x), x)
    return log_path_sum(network, p, bias=bias, pooling=pooling)  # type: ignore[arg-type]


class Paths:
    """Units joined by weighted edges, and every path from an input, or the constant, listed."""

    def __init__(self) -> None:
        self.edges: dict[int, list[tuple[int, float]]] = defaultdict(list)
        self.count = 0
        (self.constant,) = self.units(1)
        self.sources = [self.constant]

    def units(self, n: int) -> list[int]:
        self.count += n
        return list(range(self.count - n, self.count))

    def inputs(self, n: int) -> list[int]:
        made = self.units(n)
        self.sources += made
        return made

    def layer(self, before: list[int], matrix: np.ndarray, bias: np.ndarray | None) -> list[int]:
        after = self.units(len(matrix))
        for i, unit in enumerate(after):
            for j in np.flatnonzero(matrix[i]):
                self.edges[before[j]].append((unit, matrix[i, j]))
            if bias is not None:
                self.edges[self.constant].append((unit, bias[i]))
        return after

    def total(self, outputs: list[int], p: int) -> float:
        ends, products = set(outputs), []
        walks = [(source, 1.0) for source in self.sources]
        while walks:
            unit, product = walks.pop()
            if unit in ends:
                products.append(abs(product) ** p)
            walks += [(after, product * weight) for after, weight in self.edges[unit]]
        return math.fsum(products)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("bias", "pooling"), RULES)
@pytest.mark.parametrize("p", [1, 2])
def test_sums_of_the_reference(name: str, bias: str, pooling: str, p: int) -> None:
    suffix = "_nobias" if bias == "none" else ""
    expected = VECTORS[name][f"path_sum_p{p}_{pooling}{suffix}"]
    shape = tuple(given_inputs(name).shape[1:])
    assert found(given_network(name), shape, p, bias, pooling) == pytest.approx(
        math.log(expected), rel=1e-12
    )


@pytest.mark.parametrize("bias", ["edge", "none"])
@pytest.mark.parametrize("p", [1, 2])
def test_every_path_of_a_perceptron(bias: str, p: int) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))
    paths = Paths()
    units = paths.inputs(3)
    for layer in (model[0], model[2], model[4]):
        weights = layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()
        units = paths.layer(units, weights[0], weights[1] if bias == "edge" else None)
    expected = math.log(paths.total(units, p))
    assert found(model, (3,), p, bias, "as_is") == pytest.approx(expected, rel=1e-12)


def _listed(
    layers: list[tuple[nn.Module, tuple[int, ...]]], p: int, bias: str
) -> tuple[nn.Module, float]:
    """A chain of layers with the shapes of their inputs, and the log of its listed paths' sum."""
    model = nn.Sequential(*(layer for layer, _ in layers)).double()
    paths = Paths()
    units = paths.inputs(math.prod(layers[0][1]))
    for layer, shape in layers:
        added = dense_bias(layer, shape) if bias == "edge" else None
        units = paths.layer(units, dense_matrix(layer, shape), added)
    return model, math.log(paths.total(units, p))


@pytest.mark.parametrize("bias", ["edge", "none"])
@pytest.mark.parametrize("p", [1, 2])
def test_every_path_of_a_convolutional_network(bias: str, p: int) -> None:
    """Convolution, both kinds of pooling and a linear layer, unrolled to single units."""
    layers: list[tuple[nn.Module, tuple[int, ...]]] = [
        (nn.Conv2d(2, 2, 3, padding=1, stride=2), (2, 6, 6)),
        (nn.MaxPool2d(2, stride=1), (2, 3, 3)),
        (nn.Conv2d(2, 3, 2, padding=(1, 0)), (2, 2, 2)),
        (nn.AvgPool2d(2, stride=1, padding=1), (3, 3, 1)),
        (nn.Sequential(nn.Flatten(), nn.Linear(24, 2)), (3, 4, 2)),
    ]
    model, expected = _listed(layers, p, bias)
    assert found(model, (2, 6, 6), p, bias, "paths") == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("bias", ["edge", "none"])
@pytest.mark.parametrize("p", [1, 2])
def test_every_path_of_a_linear_layer_along_the_last_axis(bias: str, p: int) -> None:
    layers: list[tuple[nn.Module, tuple[int, ...]]]
    layers = [(nn.Linear(2, 3), (3, 2)), (nn.Linear(3, 3), (3, 3))]
    model, expected = _listed(layers, p, bias)
    assert found(model, (3, 2), p, bias, "as_is") == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("bias", ["edge", "none"])
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("projected", [False, True])
def test_every_path_of_a_residual_network(bias: str, p: int, projected: bool) -> None:
    shortcut = nn.Linear(3, 3) if projected else None
    model = nn.Sequential(nn.Linear(2, 3), BasicBlock(3, shortcut), BasicBlock(3), nn.Linear(3, 2))
    model.double()
    paths = Paths()

    def through(layer: nn.Module, units: list[int]) -> list[int]:
        shape = (len(units),)
        added = dense_bias(layer, shape) if bias == "edge" else None
        return paths.layer(units, dense_matrix(layer, shape), added)

    units = through(model[0], paths.inputs(2))
    for block in (model[1], model[2]):
        short = units if isinstance(block.shortcut, nn.Identity) else through(block.shortcut, units)
        long = through(block.second, through(block.first, units))
        units = paths.layer([*short, *long], np.hstack([np.eye(3), np.eye(3)]), None)
    expected = math.log(paths.total(through(model[3], units), p))
    assert found(model, (2,), p, bias, "as_is") == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("bias", ["edge", "none"])
@pytest.mark.parametrize("p", [1, 2])
def test_batch_normalization_before_a_convolution_is_a_diagonal_layer(bias: str, p: int) -> None:
    block = randomized(PreActivationBlock(2), seed=3)
    model = nn.Sequential(block, nn.Flatten())
    shape = (2, 2, 2)
    paths = Paths()
    inputs = units = paths.inputs(8)
    # The second normalization follows the first convolution and is folded into it; the paths are
    # those of a scale of the convolution's rows, and of a shift that is its bias.
    for norm, conv in ((block.norm1, block.conv1), (block.norm2, block.conv2)):
        scale = np.diag(dense_matrix(norm, shape)).copy()
        shift = dense_bias(norm, shape) if bias == "edge" else None
        if norm is block.norm1:
            units = paths.layer(units, np.diag(scale), shift)
        matrix, added = dense_matrix(conv, shape), dense_bias(conv, shape)
        if norm is block.norm1:
            after = np.diag(dense_matrix(block.norm2, shape))
            shift = dense_bias(block.norm2, shape) if bias == "edge" else None
            units = paths.layer(units, after[:, None] * matrix, shift)
        else:
            units = paths.layer(units, matrix, added if bias == "edge" else None)
    outputs = paths.layer([*inputs, *units], np.hstack([np.eye(8), np.eye(8)]), None)
    expected = math.log(paths.total(outputs, p))
    assert found(model, shape, p, bias, "as_is") == pytest.approx(expected, rel=1e-12)


def _random_chain(rng: np.random.Generator) -> tuple[list[nn.Module], tuple[int, ...]]:
    """Convolutions and poolings of 1, 2 or 3 dimensions with options of every kind."""
    axes = int(rng.integers(1, 4))
    sides = tuple(int(side) for side in rng.integers(7, 9, axes))
    conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[axes - 1]
    maximum = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)[axes - 1]
    mean = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)[axes - 1]
    adaptive = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)[axes - 1]

    def one(*choices: object) -> object:
        return choices[int(rng.integers(len(choices)))]

    stride = int(rng.integers(1, 3))
    padding = one(0, 1, 2, "valid") if stride == 2 else one(0, 1, "same")
    options = {"stride": stride, "padding": padding, "bias": bool(rng.integers(2))}
    pools = [
        maximum(2, stride=int(rng.integers(1, 3)), ceil_mode=bool(rng.integers(2))),
        maximum(3, stride=2, padding=1),
        maximum(2, stride=1, dilation=2, padding=1),
        mean(2, stride=2, ceil_mode=bool(rng.integers(2))),
        mean(3, stride=2, padding=1, count_include_pad=bool(rng.integers(2)), ceil_mode=True),
        adaptive(int(rng.integers(1, 4))),
    ]
    layers: list[nn.Module] = [
        conv(2, 4, 3, groups=int(rng.integers(1, 3)), dilation=1, **options),
        nn.ReLU(),
        pools[int(rng.integers(len(pools)))],
        conv(4, 2, 1),
        pools[-1],
    ]
    return layers, (2, *sides)


@pytest.mark.parametrize("seed", range(30))
def test_random_chains_against_dense_matrices(seed: int) -> None:
    torch.manual_seed(seed)
    layers, shape = _random_chain(np.random.default_rng(seed))
    layers = [layer.double() for layer in layers]
    shapes = [shape]
    for layer in layers:
        shapes.append(tuple(layer(torch.zeros(1, *shapes[-1], dtype=torch.float64)).shape[1:]))
    matrices = [dense_matrix(layer, s) for layer, s in zip(layers, shapes[:-1], strict=True)]
    added = [dense_bias(layer, s) for layer, s in zip(layers, shapes[:-1], strict=True)]
    for p in (1, 2):
        for bias, pooling in RULES:
            units = np.ones(math.prod(shape))
            for layer, matrix, shift in zip(layers, matrices, added, strict=True):
                name = type(layer).__name__
                if name.startswith("MaxPool") and pooling == "as_is":
                    units = np.array([units[row > 0].max() for row in matrix])
                elif "AvgPool" in name and pooling == "as_is":
                    units = matrix @ units
                else:
                    edges = abs(shift) ** p if bias == "edge" else 0
                    units = abs(matrix) ** p @ units + edges
            value = found(nn.Sequential(*layers), shape, p, bias, pooling)
            assert value == pytest.approx(math.log(units.sum()), rel=1e-11), (p, bias, pooling)


class Functional(nn.Module):
    """The same operations as functions and methods."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 2, 3, padding=1), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.relu(self.conv(x))
        x = nn.functional.max_pool2d(x, 2, padding=1, ceil_mode=True)
        x = nn.functional.avg_pool2d(x, 2)
        x = nn.functional.dropout(torch.relu(x), training=self.training)
        x = nn.functional.adaptive_avg_pool2d(x, (2, 2)).relu()
        return self.fc(x.contiguous().view(x.size(0), -1))


@pytest.mark.parametrize(("bias", "pooling"), RULES)
def test_functions_are_the_layers_of_their_name(bias: str, pooling: str) -> None:
    functional = Functional()
    layers = nn.Sequential(
        *(functional.conv, nn.ReLU(), nn.MaxPool2d(2, padding=1, ceil_mode=True), nn.AvgPool2d(2)),
        *(nn.Dropout(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), functional.fc),
    )
    for p in (1, 2):
        both = [found(model, (1, 8, 8), p, bias, pooling) for model in (functional, layers)]
        assert both[0] == both[1]


def _decimal_sum(blocks: list[tuple[Tensor, Tensor, bool]], width: int, p: int) -> float:
    """log S_p with numbers of any size: y ← |W|^p y + |b|^p, with y added where there is a jump."""
    with decimal.localcontext() as context:
        context.prec = 40
        context.Emax, context.Emin = decimal.MAX_EMAX, decimal.MIN_EMIN
        units = [Decimal(1)] * width
        for weight, bias, jumps in blocks:
            rows = zip(weight.tolist(), bias.tolist(), units, strict=True)
            units = [
                sum((abs(Decimal(w)) ** p * u for w, u in zip(row, units, strict=True)), Decimal(0))
                + abs(Decimal(b)) ** p
                + (old if jumps else 0)
                for row, b, old in rows
            ]
        return float(sum(units, Decimal(0)).ln())


class DeepResidual(nn.Module):
    """Layers in a row, around each third of which there is a shortcut."""

    def __init__(self, layers: list[nn.Linear]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        for i, layer in enumerate(self.layers):
            x = layer(x) + x if i % 3 == 0 else layer(x)
        return x


@pytest.mark.parametrize("size", [1e-30, 1e-3, 1.0, 1e3, 1e30])
@pytest.mark.parametrize("p", [1, 2])
def test_two_hundred_layers(size: float, p: int) -> None:
    """Neither overflow nor underflow, with biases and shortcuts of other sizes."""
    generator = torch.Generator().manual_seed(0)
    layers = [nn.Linear(3, 3).double() for _ in range(200)]
    for layer in layers:
        layer.weight.data = size * torch.randn(3, 3, generator=generator, dtype=torch.float64)
        layer.bias.data = torch.randn(3, generator=generator, dtype=torch.float64)
    weights = [(a.weight.detach(), a.bias.detach(), i % 3 == 0) for i, a in enumerate(layers)]
    expected = _decimal_sum(weights, 3, p)
    value = found(DeepResidual(layers), (3,), p, "edge", "as_is")
    assert value == pytest.approx(expected, rel=1e-12, abs=1e-12)
    if size == 1e30:
        assert value > 200 * 30 * math.log(10)


def test_no_path_has_log_minus_infinity() -> None:
    model = nn.Sequential(nn.Linear(2, 3, bias=False), nn.ReLU(), nn.Linear(3, 2))
    nn.init.zeros_(model[0].weight)
    assert found(model, (2,), 1, "none", "as_is") == -math.inf
    assert found(model, (2,), 1, "edge", "as_is") == pytest.approx(
        math.log(float(model[2].bias.detach().double().abs().sum()))
    )


def _rescaled(model: nn.Sequential, unit: int, factor: float) -> None:
    """Scale a hidden unit's incoming weights, and its outgoing ones the other way."""
    model[0].weight.data[unit] *= factor
    model[0].bias.data[unit] *= factor
    model[2].weight.data[:, unit] /= factor


@pytest.mark.parametrize("bias", ["edge", "none"])
def test_rescaling_a_unit_leaves_function_and_path_norms(bias: str) -> None:
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)).double()
    x = wide(np.random.default_rng(0).normal(size=(6, 4)))

    def state() -> list[float]:
        return [found(model, (4,), p, bias, "as_is") for p in (1, 2)]

    outputs, before = model(x).detach(), state()
    _rescaled(model, unit=2, factor=37.0)
    torch.testing.assert_close(model(x), outputs, rtol=1e-12, atol=1e-12)
    assert state() == pytest.approx(before, rel=1e-12)


def test_an_unknown_rule() -> None:
    model = nn.Linear(2, 2)
    with pytest.raises(GsnrError, match="bias=path is no rule of path norms; there are edge and"):
        found(model, (2,), 1, "path", "as_is")
    with pytest.raises(GsnrError, match="pooling=sum"):
        found(model, (2,), 1, "edge", "sum")


@pytest.mark.parametrize("make", [lambda: nn.Linear(3, 2), lambda: nn.Sequential(nn.Linear(3, 2))])
def test_a_single_layer(make: Callable[[], nn.Module]) -> None:
    model = make()
    tensors = [t.detach().double().abs().sum() for t in model.parameters()]
    assert found(model, (3,), 1, "edge", "as_is") == pytest.approx(math.log(float(sum(tensors))))
