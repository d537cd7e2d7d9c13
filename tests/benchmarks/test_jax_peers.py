"""The same work in JAX finds the same numbers, in float64."""

import numpy as np
import pytest

from benchmarks.peers.moments import SampleLoop
from benchmarks.peers.training import PlainLoop
from benchmarks.workloads import Workload

pytest.importorskip("jax", reason="JAX is not installed (pip install -e '.[bench]')")
from benchmarks.peers.in_jax import PerSampleGradients, Replicas

pytestmark = pytest.mark.slow  # each way is compiled

NETWORKS = ["table2_cnn", "table3_cnn", "mlp"]


def _apart(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("name", [*NETWORKS, "toy_mlp"])
@pytest.mark.parametrize("way", ["vmap", "map"])
@pytest.mark.parametrize("chunk", [8, 24])
def test_gradients_of_replicas(name: str, way: str, chunk: int) -> None:
    workload = Workload(name, 2, 24, 3)
    found = Replicas(workload, 1, (8,), "float64")
    found.gradients = found._compiled(way, chunk if not workload.normalizes else 24)
    expected = PlainLoop(workload, 1, (24,), "float64")
    assert _apart(found.numbers(), expected.numbers()) < 1e-12
    found.work()
    expected.work()
    assert _apart(found.numbers(), expected.numbers()) < 1e-11


@pytest.mark.parametrize("name", [*NETWORKS, "resnet18"])
def test_moments_of_per_sample_gradients(name: str) -> None:
    workload = Workload(name, 2, 12, 1)
    found = PerSampleGradients(workload, (4,), "float64")
    expected = SampleLoop(workload, (4,), "float64").numbers()
    assert _apart(found.numbers(), expected) < 1e-12
    found.set_setting(12)
    assert _apart(found.numbers(), expected) < 1e-12
