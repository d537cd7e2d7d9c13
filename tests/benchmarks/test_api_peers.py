"""What the Python interface is timed beside computes the same, or says that it cannot."""

import numpy as np
import pytest

from benchmarks import ours
from benchmarks.agreement import EXACT, Reference, difference
from benchmarks.peers import statistics
from benchmarks.workloads import Workload

pytest.importorskip("backpack")
pytest.importorskip("opacus")
pytestmark = pytest.mark.filterwarnings("ignore")  # of the peers' libraries

BACKPACK = (statistics.BackPackVariance, statistics.BackPackSums, statistics.BackPackBatch)
OTHERS = (statistics.Opacus, statistics.VmapGrad)
CHUNKS = (8,)


@pytest.mark.parametrize("model", ["mlp", "table2_cnn", "resnet18"])
@pytest.mark.parametrize("peer", [*BACKPACK, *OTHERS], ids=lambda peer: peer.__name__)
def test_peers_have_our_mean_and_variance(model, peer):
    workload = Workload(model, 4, 12, 1)
    expected = ours.ApiCall(workload, "float64").numbers()
    assert difference(peer(workload, CHUNKS, "float64").numbers(), expected) < EXACT


@pytest.mark.parametrize("peer", [*BACKPACK, *OTHERS], ids=lambda peer: peer.__name__)
def test_peers_have_our_mean_and_variance_of_an_lstm(peer):
    """In float32, since BackPACK and vmap fail in float64 there."""
    workload = Workload("lstm", 4, 12, 1)
    expected = ours.ApiCall(workload, "float64").numbers()
    assert difference(peer(workload, CHUNKS).numbers(), expected) < 1e-5


@pytest.mark.parametrize("model", ["mlp", "table2_cnn", "resnet18", "attention", "encoder", "lstm"])
def test_ours_is_that_of_a_loop_over_samples(model):
    workload = Workload(model, 4, 12, 1)
    found = ours.ApiCall(workload, "float64").numbers()
    assert difference(found, Reference().statistics(workload)) < EXACT


def test_mean_and_variance_are_those_of_their_definition():
    workload = Workload("mlp", 4, 12, 1)
    peer = statistics.SampleLoop(workload, CHUNKS, "float64")
    sums = statistics.moments.SampleLoop(workload, CHUNKS, "float64").numbers()
    mean = sums[0] / 12
    assert np.allclose(peer.numbers(), [mean, sums[1] / 12 - mean**2], atol=1e-15)


@pytest.mark.parametrize("peer", OTHERS, ids=lambda peer: peer.__name__)
def test_attention_in_linear_layers_is_taken(peer):
    workload = Workload("attention", 4, 12, 1)
    found = peer(workload, CHUNKS, "float64").numbers()
    assert difference(found, Reference().statistics(workload)) < EXACT


@pytest.mark.parametrize("model", ["attention", "encoder"])
@pytest.mark.parametrize("peer", BACKPACK, ids=lambda peer: peer.__name__)
def test_layers_that_backpack_passes_over_without_a_word_are_named(model, peer):
    contender = peer(Workload(model, 4, 12, 1), CHUNKS)
    with pytest.raises(ValueError, match="LayerNorm"):
        contender.numbers()
