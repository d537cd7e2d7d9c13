"""Norms of layers against the singular values of their dense matrices."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.measures.complexity import spectral
from gsnr_sweep.measures.complexity.folding import folded
from gsnr_sweep.measures.complexity.graph import Step, read_network
from gsnr_sweep.measures.complexity.spectral import log_operator_norm, log_reshape_norm
from tests.measures.complexity.networks import (
    NETWORKS,
    VECTORS,
    dense_matrix,
    given_inputs,
    given_network,
)


def step_of(layer: nn.Module, shape: tuple[int, ...]) -> Step:
    x = torch.zeros(2, *shape)
    (step,) = read_network(folded(layer, x), x).weight_steps
    return step


@pytest.mark.parametrize("name", NETWORKS)
def test_norms_of_the_reference(name: str) -> None:
    x = given_inputs(name)
    steps = read_network(folded(given_network(name), x), x).weight_steps
    expected = VECTORS[name]["spectral_norms"]
    operator = [math.exp(log_operator_norm(step)) for step in steps]
    reshape = [math.exp(log_reshape_norm(step)) for step in steps]
    assert operator == pytest.approx(expected["operator"], rel=1e-9)
    assert reshape == pytest.approx(expected["reshape"], rel=1e-12)


CONVOLUTIONS = [
    (nn.Conv1d(3, 4, 3, padding=1), (3, 60)),
    (nn.Conv1d(2, 3, 3, padding="same", dilation=2), (2, 70)),
    (nn.Conv2d(3, 5, 3), (3, 9, 8)),
    (nn.Conv2d(3, 5, 3, padding=1), (3, 8, 8)),
    (nn.Conv2d(2, 8, 5, padding=2, stride=2), (2, 11, 10)),
    (nn.Conv2d(8, 2, 3, padding=(1, 0), stride=(1, 3)), (8, 12, 12)),
    (nn.Conv2d(4, 8, 3, padding=2, dilation=2, groups=2), (4, 8, 8)),
    (nn.Conv2d(6, 6, 3, groups=6, bias=False), (6, 8, 8)),
    (nn.Conv2d(2, 3, 1, stride=2), (2, 16, 15)),
    (nn.Conv3d(2, 3, (1, 3, 5), padding="same"), (2, 4, 5, 6)),
    (nn.Conv2d(2, 2, 3, padding=1), (2, 5, 5)),  # small enough for a matrix, of inputs
    (nn.Conv2d(5, 1, 3, padding=0), (5, 9, 9)),  # and of outputs
]


@pytest.mark.parametrize(("layer", "shape"), CONVOLUTIONS)
def test_convolutions_against_their_matrix(layer: nn.Module, shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(7)
    layer.weight.data = torch.randn(layer.weight.shape, generator=generator)
    largest = np.linalg.svd(dense_matrix(layer.double(), shape), compute_uv=False)[0]
    step = step_of(layer, shape)
    assert math.exp(log_operator_norm(step)) == pytest.approx(largest, rel=1e-9)
    matrix = layer.weight.detach().numpy().reshape(len(layer.weight), -1)
    reshape = np.linalg.svd(matrix, compute_uv=False)[0]
    assert math.exp(log_reshape_norm(step)) == pytest.approx(reshape, rel=1e-12)


def test_both_norms_of_a_linear_layer_are_its_largest_singular_value() -> None:
    layer = nn.Linear(30, 200)
    largest = np.linalg.svd(layer.weight.detach().double().numpy(), compute_uv=False)[0]
    step = step_of(layer, (30,))
    for log_norm in (log_operator_norm(step), log_reshape_norm(step)):
        assert math.exp(log_norm) == pytest.approx(largest, rel=1e-13)


@pytest.mark.parametrize("gap", [0.0, 1e-14, 1e-11, 1e-9, 1e-7, 1e-5, 1e-3])
def test_a_narrow_gap_between_the_largest_singular_values(gap: float) -> None:
    """Depthwise: each channel has the singular values of its own kernel, whatever the others."""
    layer = nn.Conv2d(3, 3, 3, padding=1, groups=3, bias=False).double()
    kernel = torch.randn(3, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    layer.weight.data = torch.stack([kernel * (1 - gap), kernel, kernel * 0.5])[:, None]
    one = nn.Conv2d(1, 1, 3, padding=1, bias=False).double()
    one.weight.data = kernel[None, None]
    largest = np.linalg.svd(dense_matrix(one, (1, 10, 10)), compute_uv=False)[0]
    assert math.exp(log_operator_norm(step_of(layer, (3, 10, 10)))) == pytest.approx(
        largest, rel=1e-9
    )


def test_equal_singular_values() -> None:
    """A rotation of the channels at every place: the iteration ends in its first step."""
    layer = nn.Conv2d(4, 4, 1, bias=False).double()
    nn.init.orthogonal_(layer.weight)
    layer.weight.data *= 3
    assert math.exp(log_operator_norm(step_of(layer, (4, 9, 9)))) == pytest.approx(3, rel=1e-12)


def test_the_start_is_fixed() -> None:
    step = step_of(nn.Conv2d(3, 4, 3, padding=1), (3, 9, 9))
    torch.manual_seed(1)
    first = log_operator_norm(step)
    torch.manual_seed(2)
    assert log_operator_norm(step) == first


@pytest.mark.parametrize("size", [1e-250, 1e250])
@pytest.mark.parametrize("log_norm", [log_operator_norm, log_reshape_norm])
def test_weights_whose_squares_leave_the_range(
    size: float, log_norm: Callable[[Step], float]
) -> None:
    layer = nn.Conv2d(3, 4, 3, padding=1, bias=False).double()
    before = log_norm(step_of(layer, (3, 9, 9)))
    layer.weight.data *= size
    after = log_norm(step_of(layer, (3, 9, 9)))
    assert after - before == pytest.approx(math.log(size), rel=1e-9)


@pytest.mark.parametrize("shape", [(3, 9, 9), (3, 4, 4)])
def test_a_weight_of_zeros(shape: tuple[int, ...]) -> None:
    layer = nn.Conv2d(3, 4, 3, padding=1)
    nn.init.zeros_(layer.weight)
    step = step_of(layer, shape)
    assert log_operator_norm(step) == log_reshape_norm(step) == -math.inf


def test_an_iteration_that_does_not_settle_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spectral, "_RESTARTS", 1)
    monkeypatch.setattr(spectral, "_KRYLOV_SIZE", 3)
    step = step_of(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1)), (3, 16, 16))
    with pytest.raises(GsnrError, match=r"0 \(Conv2d\): its norm as a linear map did not settle"):
        log_operator_norm(step)
