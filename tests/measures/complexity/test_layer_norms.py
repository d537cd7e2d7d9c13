"""Norms of layers and distances from the start against the reference values and NumPy."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import vector_to_parameters

from gsnr_sweep.measures.complexity.graph import read_network
from gsnr_sweep.measures.complexity.layer_norms import (
    distances,
    layer_norms,
    sum_over,
)
from tests.measures.complexity.references import NETWORKS, left_as_it_was, reference
from tests.measures.complexity.test_flatness import JIANG


@pytest.mark.parametrize("name", NETWORKS)
def test_measures_of_the_reference(name: str) -> None:
    """Spectral norms of convolutions are out × rest matrices there: those of the perceptron."""
    model, samples, _ = reference(name)
    given = JIANG[name]["measures"]
    start = copy.deepcopy(model)
    flat = torch.tensor(JIANG[name]["init_flat"], dtype=torch.float64)
    vector_to_parameters(flat, start.parameters())
    initial = {name: p.detach() for name, p in start.named_parameters()}
    with left_as_it_was(model):
        own = layer_norms(read_network(model, samples.x[:1]))
        moved = distances(model, initial, samples.x[:1])
    assert sum_over(own.frobenius) == pytest.approx(given["param_norm"], rel=1e-9)
    assert sum_over(moved.frobenius) == pytest.approx(given["fro_dist"], rel=1e-9)
    assert math.fsum(own.frobenius) == pytest.approx(given["log_prod_fro"], rel=1e-9)
    if name != "mlp":
        return
    assert sum_over(moved.spectral) == pytest.approx(given["dist_spec_init"], rel=1e-9)
    assert sum_over(own.frobenius, own.spectral) == pytest.approx(given["fro_over_spec"], rel=1e-9)
    assert math.fsum(own.spectral) == pytest.approx(given["log_prod_spec"], rel=1e-9)


def test_normalized_networks_are_compared_unfolded() -> None:
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(6)
    model = nn.Sequential(nn.Linear(4, 6), norm, nn.ReLU(), nn.Linear(6, 3)).double().eval()
    norm.running_var *= 9  # type: ignore[operator]
    initial = {name: p.detach() + 0.5 for name, p in model.named_parameters()}
    found = distances(model, initial, torch.zeros(1, 4, dtype=torch.float64))
    np.testing.assert_allclose(np.exp(found.frobenius), [24 / 4, 18 / 4])
    np.testing.assert_allclose(np.exp(found.spectral), [24 / 4, 18 / 4])


def test_weights_of_zeros() -> None:
    model = nn.Sequential(nn.Linear(4, 3, bias=False)).double()
    model[0].weight.data.zero_()
    own = layer_norms(read_network(model, torch.zeros(1, 4, dtype=torch.float64)))
    assert own.frobenius == own.spectral == (-math.inf,)
    assert sum_over(own.frobenius) == 0
    assert sum_over(own.frobenius, own.spectral) == math.inf
