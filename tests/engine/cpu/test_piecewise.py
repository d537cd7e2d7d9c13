"""Full-batch normalization of sets in several passes, in lanes, against autograd in float64."""

import copy

import pytest
import torch
from torch import nn

from gsnr_sweep.engine.cpu.kernels import Kernels, available
from gsnr_sweep.engine.cpu.layout import Lanes
from gsnr_sweep.engine.cpu.piecewise import PiecewisePasses, cutting_of
from gsnr_sweep.gradients.batchnorm import FullBatchNorm, Mode
from gsnr_sweep.losses.loss import CROSS_ENTROPY
from tests.engine.cpu.networks import (
    CASES,
    Case,
    build,
    explicit,
    losses,
    reference,
    samples,
    trained,
)
from tests.engine.instruction_sets import needs_kernels

pytestmark = needs_kernels


def _mixed() -> nn.Module:
    """Stages with and without batch normalization, the first and the last without."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.ReLU(),
        nn.Conv2d(4, 5, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU(),
        nn.Conv2d(5, 4, 2), nn.ReLU(),
        nn.Conv2d(4, 6, 3, padding=1, stride=2), nn.BatchNorm2d(6, affine=False), nn.MaxPool2d(2),
        nn.Conv2d(6, 3, 1), nn.ReLU(), nn.Flatten(), nn.Linear(3, 10),
    )  # fmt: skip


def _averaged() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 10),
    )  # fmt: skip


NETWORKS = {
    "mixed": Case(_mixed, (3, 13, 13)),
    "normalized": CASES["normalized"],
    "table3": CASES["table3"],
    "averaged": Case(_averaged, (3, 12, 12)),
}
N = 83  # no whole number of blocks, the last chunk smaller than a block


@pytest.fixture(params=list(NETWORKS))
def case(request: pytest.FixtureRequest) -> Case:
    return NETWORKS[request.param]


def _kernels() -> Kernels:
    return Kernels(available()[0])


def _norms(model: nn.Module) -> list[FullBatchNorm]:
    return [module for module in model.modules() if isinstance(module, FullBatchNorm)]


def _passes(
    model: nn.Module, case: Case, n_cuts: int | None = None, memory: int = 10**9, size: int = 32
) -> PiecewisePasses:
    network = explicit(model, case, _kernels())
    workspace = network.workspace()
    cutting = cutting_of(network, torch.zeros(2, *case.shape), workspace)
    assert cutting is not None
    places = cutting.chosen(N, memory)
    places = places if n_cuts is None else places[:n_cuts]
    return PiecewisePasses(network, samples(case, N), size, places, workspace)


def _expected(model: nn.Module, case: Case) -> tuple[torch.Tensor, nn.Module]:
    data = samples(case, N)
    wide, x = reference(model, data, Mode.BATCH)
    loss = losses(wide(x), data.y).sum()
    found = torch.autograd.grad(loss, trained(wide))
    return torch.cat([g.flatten() for g in found]), wide


@pytest.mark.parametrize("n_cuts", [0, 1, 2, None])
@pytest.mark.parametrize("size", [16, 47])
def test_the_gradient_is_that_of_one_full_batch(case: Case, n_cuts: int | None, size: int) -> None:
    model = build(case)
    expected, wide = _expected(model, case)
    found = _passes(model, case, n_cuts, size=size).gradient(CROSS_ENTROPY, trained(model))
    flat = torch.cat([g.flatten() for g in found])
    assert float((flat - expected).norm() / expected.norm()) < 1e-5
    for mine, theirs in zip(_norms(model), _norms(wide), strict=True):
        torch.testing.assert_close(mine.mean.double(), theirs.mean, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(mine.var.double(), theirs.var, rtol=1e-5, atol=1e-6)
        assert mine.count == N * (mine.count // N)


@pytest.mark.parametrize("n_cuts", [0, None])
def test_statistics_alone(case: Case, n_cuts: int | None) -> None:
    model = build(case)
    _, wide = _expected(model, case)
    passes = _passes(model, case, n_cuts)
    passes.set_statistics(forward_only=True)
    for mine, theirs in zip(_norms(model), _norms(wide), strict=True):
        torch.testing.assert_close(mine.mean.double(), theirs.mean, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(mine.var.double(), theirs.var, rtol=1e-5, atol=1e-6)
    assert len(passes._kept) <= 1


def test_frozen_layers_have_no_part_in_it(case: Case) -> None:
    model = build(case)
    first = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    first.requires_grad_(False)
    expected, _ = _expected(model, case)
    found = _passes(model, case).gradient(CROSS_ENTROPY, trained(model))
    flat = torch.cat([g.flatten() for g in found])
    assert float((flat - expected).norm() / expected.norm()) < 1e-5


def test_what_is_kept_is_within_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    case = NETWORKS["table3"]
    model = build(case)
    taken: dict[str, int] = {}
    room = PiecewisePasses._room_for

    def watched(self: PiecewisePasses, images: Lanes, name: str) -> Lanes:
        made = room(self, images, name)
        taken[name] = max(made.data.nbytes, taken.get(name, 0))
        return made

    monkeypatch.setattr(PiecewisePasses, "_room_for", watched)
    largest = -(-N // 16) * 16 / N  # the last block may not be full
    for memory in (10**5, 10**6, 3 * 10**6):
        taken.clear()
        _passes(model, case, memory=memory).gradient(CROSS_ENTROPY, trained(model))
        assert sum(taken.values()) <= memory * largest
    assert taken


def test_ways_that_take_turns_share_the_memory() -> None:
    """Statistics alone are cut elsewhere; what the gradient has kept is given back for them."""
    case, memory = NETWORKS["table3"], 10**6
    model = build(case)
    network = explicit(model, case, _kernels())
    workspace = network.workspace()
    cutting = cutting_of(network, torch.zeros(2, *case.shape), workspace)
    assert cutting is not None
    largest = -(-N // 16) * 16 / N
    for forward_only in (False, True, False):
        places = cutting.chosen(N, memory, forward_only)
        passes = PiecewisePasses(network, samples(case, N), 16, places, workspace)
        if forward_only:
            passes.set_statistics(forward_only=True)
        else:
            passes.gradient(CROSS_ENTROPY, trained(model))
        kept = [flat.nbytes for (name, _), flat in workspace._flat.items() if "kept" in name]
        assert 0 < sum(kept) <= memory * largest


def test_each_sample_goes_through_a_convolution_three_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Forward to the statistics, again to go back, and back; more without cuts."""
    counts: dict[int | None, int] = {}
    call = Kernels.call
    for n_cuts in (None, 0):
        model = build(NETWORKS["table3"])
        passes = _passes(model, NETWORKS["table3"], n_cuts)
        counts[n_cuts] = 0

        def counted(
            self: Kernels, name: str, *arguments: object, key: int | None = n_cuts
        ) -> object:
            counts[key] += name == "conv_forward"
            return call(self, name, *arguments)

        monkeypatch.setattr(Kernels, "call", counted)
        passes.gradient(CROSS_ENTROPY, trained(model))
        monkeypatch.undo()
    chunks, convolutions = 3, 8
    assert counts[None] == chunks * (2 * convolutions - 1)
    assert counts[0] > 4 * counts[None]


def test_a_stage_that_normalizes_within_itself_is_not_cut() -> None:
    case = CASES["resnet18"]
    network = explicit(build(case), case, _kernels())
    assert cutting_of(network, torch.zeros(2, *case.shape), network.workspace()) is None


def test_a_network_without_normalization_has_no_cuts() -> None:
    case = CASES["table2"]
    network = explicit(build(case), case, _kernels())
    cutting = cutting_of(network, torch.zeros(2, *case.shape), network.workspace())
    assert cutting is not None
    assert (cutting.places, cutting.chosen(100, 10**9)) == ([], [])


def test_weights_are_left_alone(case: Case) -> None:
    model = build(case)
    before = copy.deepcopy(model.state_dict())
    _passes(model, case).gradient(CROSS_ENTROPY, trained(model))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
