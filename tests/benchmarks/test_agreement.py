import numpy as np
import pytest

from benchmarks import ours
from benchmarks.agreement import EXACT, Reference, difference
from benchmarks.peers import moments
from benchmarks.peers.training import PlainLoop, VmapReplicas
from benchmarks.workloads import Workload

NETWORKS = [
    Workload("table2_cnn", 2, 20, 2),
    Workload("table3_cnn", 2, 20, 2),
    Workload("toy_mlp", 4, 20, 2),
]
CHUNKS = (8,)


@pytest.mark.parametrize("workload", NETWORKS, ids=lambda workload: workload.model)
def test_peers_have_the_engines_gradients(workload):
    expected = Reference().gradients(workload)
    builds = [
        ours.Training(workload, 1, "float64"),
        PlainLoop(workload, 1, CHUNKS, "float64"),
        VmapReplicas(workload, 1, CHUNKS, "float64"),
    ]
    for contender in builds:
        assert difference(contender.numbers(), expected) < EXACT


@pytest.mark.filterwarnings("ignore:Full backward hook")
@pytest.mark.parametrize("workload", NETWORKS[:2], ids=lambda workload: workload.model)
def test_peers_have_the_engines_moments(workload):
    pytest.importorskip("backpack")
    pytest.importorskip("opacus")
    expected = Reference().moments(workload)
    peers = (moments.BackPack, moments.Opacus, moments.VmapGrad)
    assert difference(ours.MomentPasses(workload, "float64").numbers(), expected) < EXACT
    for peer in peers:
        assert difference(peer(workload, CHUNKS, "float64").numbers(), expected) < EXACT


def test_training_moves_the_weights_alike():
    workload = NETWORKS[0]
    contenders = [
        ours.Training(workload, 3, "float64"),
        PlainLoop(workload, 3, CHUNKS, "float64"),
        VmapReplicas(workload, 3, CHUNKS, "float64"),
    ]
    before = contenders[0].numbers()
    for contender in contenders:
        contender.work()
    after = contenders[0].numbers()
    assert difference(before, after) > 1e3 * EXACT
    for contender in contenders[1:]:
        assert difference(contender.numbers(), after) < EXACT


def test_difference_is_relative_and_infinite_where_there_is_nan():
    reference = np.array([[3.0, 4.0], [0.0, 1.0]])
    assert difference(reference * 1.01, reference) == pytest.approx(0.01)
    assert difference(reference * np.nan, reference) == float("inf")
    assert difference(reference[:1], reference) == float("inf")
