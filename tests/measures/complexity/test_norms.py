"""The norm measures of whole networks."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.measures.complexity.margin import margin_at, margins
from gsnr_sweep.measures.complexity.norms import norm_measures
from gsnr_sweep.models.resnet18 import ResNet18
from tests.measures.complexity.networks import (
    NETWORKS,
    VECTORS,
    PreActivationBlock,
    dense_matrix,
    given_inputs,
    given_network,
    randomized,
)

PATH_NORMS = {"l1_path", "l2_path"}
PRODUCTS = {"l2", "spectral", "spectral_reshape"}
EVERY = {name + form for name in PATH_NORMS | PRODUCTS for form in ("", "_capacity")}


@pytest.mark.parametrize("name", NETWORKS)
def test_measures_of_the_reference(name: str) -> None:
    expected = VECTORS[name]["norm_measures"]
    model, x = given_network(name), given_inputs(name)
    found = norm_measures(model, x, bias="none")
    assert found.refused == {}
    assert found.values.keys() == EVERY
    given = {
        "l2": "log_l2",
        "l1_path": "log_l1_path_as_is_nobias",
        "l2_path": "log_l2_path_as_is_nobias",
        "spectral": "log_spectral_operator",
        "spectral_reshape": "log_spectral_reshape",
        **{f"{n}_capacity": f"capacity_log_{n}" for n in ("l2", "l1_path", "l2_path", "spectral")},
    }
    for ours, theirs in given.items():
        assert found.values[ours] == pytest.approx(expected[theirs], rel=1e-9), ours
    for pooling in ("as_is", "paths"):
        edges = norm_measures(model, x, pooling=pooling).values
        for path_norm in PATH_NORMS:
            assert edges[path_norm] == pytest.approx(
                expected[f"log_{path_norm}_{pooling}"], rel=1e-9
            )


def _perceptron() -> nn.Sequential:
    torch.manual_seed(0)
    layers = (nn.Linear(4, 6, bias=False), nn.ReLU(), nn.Linear(6, 5, bias=False), nn.ReLU())
    return nn.Sequential(*layers, nn.Linear(5, 3, bias=False)).double()


def test_closed_forms_of_a_perceptron() -> None:
    model = _perceptron()
    weights = [layer.weight.detach().numpy() for layer in model if isinstance(layer, nn.Linear)]
    found = norm_measures(model, torch.randn(2, 4)).values
    largest = [np.linalg.svd(w, compute_uv=False)[0] for w in weights]
    l1, l2 = (
        (abs(weights[2]) ** p @ abs(weights[1]) ** p @ abs(weights[0]) ** p).sum() for p in (1, 2)
    )
    expected = {
        "l2": np.prod([(w**2).sum() for w in weights]),
        "l1_path": l1**2,
        "l2_path": l2,
        "spectral": np.prod(np.square(largest)),
        "l2_capacity": np.prod([4 * (w**2).sum() for w in weights]),
        "l1_path_capacity": (2**3 * l1) ** 2,
        "l2_path_capacity": 4 * 6 * 4 * 5 * 4 * 3 * l2,
        "spectral_capacity": 6 * 5 * 3 * np.prod(np.square(largest)),
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(math.log(value), rel=1e-12), name
    assert found["spectral_reshape"] == found["spectral"]
    assert found["spectral_reshape_capacity"] == found["spectral_capacity"]


def test_a_convolutions_norm_is_that_of_its_matrix_and_its_width_its_channels() -> None:
    torch.manual_seed(1)
    model = nn.Sequential(
        nn.Conv2d(2, 5, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(80, 3)
    ).double()
    matrices = [dense_matrix(model[0], (2, 8, 8)), model[3].weight.detach().numpy()]
    spectral = 2 * sum(math.log(np.linalg.svd(m, compute_uv=False)[0]) for m in matrices)
    found = norm_measures(model, torch.randn(1, 2, 8, 8)).values
    assert found["spectral"] == pytest.approx(spectral, rel=1e-9)
    assert found["spectral_capacity"] - found["spectral"] == pytest.approx(math.log(5 * 3))
    assert found["l2_path_capacity"] - found["l2_path"] == pytest.approx(math.log(16 * 5 * 3))


def test_rescaling_a_unit_leaves_path_norms_and_changes_l2() -> None:
    model = _perceptron()
    x = torch.randn(3, 4, dtype=torch.float64)
    rescaled = copy.deepcopy(model)
    rescaled[0].weight.data[2] *= 20
    rescaled[2].weight.data[:, 2] /= 20
    torch.testing.assert_close(rescaled(x), model(x), rtol=1e-12, atol=1e-12)
    before, after = (norm_measures(m, x).values for m in (model, rescaled))
    for name in PATH_NORMS:
        assert after[name] == pytest.approx(before[name], rel=1e-12)
    for name in PRODUCTS:
        assert abs(after[name] - before[name]) > 0.1


@pytest.mark.parametrize("factor", [1e-3, 7.0])
def test_scaling_the_function_leaves_measures_over_margin(factor: float) -> None:
    model = _perceptron()
    x = torch.randn(40, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    labels = model(x).argmax(dim=1)
    scaled = copy.deepcopy(model)
    scaled[2].weight.data *= factor

    def over_margin(network: nn.Module) -> dict[str, float]:
        gamma = margin_at(margins(network(x), labels), epsilon=0.5)
        values = norm_measures(network, x).values
        return {name: value - 2 * math.log(gamma) for name, value in values.items()}

    assert over_margin(scaled) == pytest.approx(over_margin(model), rel=1e-9)


def test_a_residual_network_has_path_norms_only() -> None:
    model = randomized(ResNet18(1, (3, 16, 16), 4))
    found = norm_measures(model, torch.randn(2, 3, 16, 16))
    assert found.values.keys() == PATH_NORMS
    assert all(map(math.isfinite, found.values.values()))
    assert found.refused.keys() == EVERY - PATH_NORMS
    assert "function add in layer1.0 (BasicBlock)" in found.refused["l2"]


def test_batch_normalization_that_cannot_be_folded_leaves_path_norms_only() -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.BatchNorm2d(3), nn.Conv2d(3, 2, 3))
    found = norm_measures(randomized(model), torch.randn(2, 2, 6, 6))
    assert found.values.keys() == PATH_NORMS
    assert found.refused.keys() == EVERY - PATH_NORMS
    assert found.refused["spectral"].startswith("2 (BatchNorm2d) does not directly follow")
    block = norm_measures(randomized(PreActivationBlock(2)), torch.randn(2, 2, 6, 6))
    assert block.values.keys() == PATH_NORMS


class Repeated(nn.Module):
    """One layer, applied twice."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(torch.relu(self.layer(x)))


def test_a_layer_that_is_used_twice_counts_twice() -> None:
    layer = nn.Linear(3, 3)
    once = nn.Sequential(layer, nn.ReLU(), copy.deepcopy(layer))
    x = torch.randn(2, 3)
    assert norm_measures(Repeated(layer), x) == norm_measures(once, x)


def test_weights_that_are_all_zero() -> None:
    model = nn.Sequential(nn.Conv2d(2, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2, bias=False))
    nn.init.zeros_(model[3].weight)
    values = norm_measures(model, torch.randn(2, 2, 4, 4)).values
    assert values.keys() == EVERY
    assert set(values.values()) == {-math.inf}


def test_a_network_without_weights() -> None:
    with pytest.raises(GsnrError, match="no linear or convolutional layer"):
        norm_measures(nn.Sequential(nn.ReLU(), nn.Flatten()), torch.randn(2, 3))


def test_the_network_stays_as_it_is() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2)).train()
    before = copy.deepcopy(model.state_dict())
    norm_measures(model, torch.randn(2, 3))
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
