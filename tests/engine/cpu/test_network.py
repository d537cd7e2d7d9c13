"""Explicit forward and backward passes against autograd, gradient and per-sample moments."""

import copy
import secrets
import statistics

import pytest
import torch
from torch import nn

from gsnr_sweep.data.samples import Samples
from gsnr_sweep.engine.cpu import MomentOrder
from gsnr_sweep.engine.cpu.kernels import Kernels
from gsnr_sweep.gradients.batchnorm import FullBatchNorm, Mode
from tests.engine.cpu.networks import (
    CASES,
    Case,
    build,
    explicit,
    explicit_sums,
    losses,
    reference,
    samples,
    trained,
)
from tests.engine.instruction_sets import EACH, needs_kernels
from tests.gradients.oracles import per_sample_gradients

pytestmark = needs_kernels

N = 21  # no whole number of blocks


@pytest.fixture(params=EACH)
def kernels(request: pytest.FixtureRequest) -> Kernels:
    return Kernels(request.param)


@pytest.fixture(params=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def _relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).detach().norm() / b.detach().norm())


def test_outputs_and_gradient_in_training_mode(case: Case, kernels: Kernels) -> None:
    model, data = build(case), samples(case, N)
    wide, x = reference(model, data, Mode.BATCH)
    outputs = wide(x)
    expected = torch.autograd.grad(losses(outputs, data.y).sum(), trained(wide))
    network = explicit(model, case, kernels)
    done = network.forward(data, Mode.BATCH, network.workspace())
    assert _relative(done.outputs.double(), outputs) < 5e-6
    (found,) = explicit_sums(model, case, kernels, data, Mode.BATCH, MomentOrder.GRADIENT, N)
    assert _relative(found, torch.cat([g.flatten() for g in expected])) < 1e-5


def test_moments_are_those_of_each_samples_own_gradient(case: Case, kernels: Kernels) -> None:
    model, data = build(case), samples(case, N)
    wide, x = _with_fixed_statistics(model, data)
    gradients = per_sample_gradients(wide, x, data.y, losses)
    sums = explicit_sums(model, case, kernels, data, Mode.FIXED, MomentOrder.SIGNS, 9)
    assert _relative(sums[0], gradients.sum(0)) < 1e-5
    assert _relative(sums[1], gradients.square().sum(0)) < 1e-5
    scale = gradients.abs().amax(0)
    clear = ((gradients.abs() > 1e-4 * scale) | (gradients == 0)).all(0)
    assert clear.double().mean() > 0.8
    assert torch.equal(sums[2][clear], (gradients > 0).sum(0)[clear].double())
    assert torch.equal(sums[3][clear], (gradients < 0).sum(0)[clear].double())


def _norms(model: nn.Module) -> list[FullBatchNorm]:
    return [module for module in model.modules() if isinstance(module, FullBatchNorm)]


def _with_fixed_statistics(model: nn.Module, data: Samples) -> tuple[nn.Module, torch.Tensor]:
    """Give the network the data's statistics; return it in float64 with its inputs."""
    wide, x = reference(model, data, Mode.FIXED)
    for norm, right in zip(_norms(model), _norms(wide), strict=True):
        norm.mean, norm.var = right.mean.float(), right.var.float()
    return wide, x


def test_weights_and_inputs_that_nobody_has_seen(case: Case, kernels: Kernels) -> None:
    """The median: an input that float32 sees on a ReLU's other side may come in any one of them."""
    seeds = [secrets.randbits(31) for _ in range(5)]
    apart = []
    for seed in seeds:
        model, data = build(case, seed), samples(case, N, seed)
        wide, x = _with_fixed_statistics(model, data)
        gradients = per_sample_gradients(wide, x, data.y, losses)
        found = explicit_sums(model, case, kernels, data, Mode.FIXED, MomentOrder.SQUARES, 9)
        expected = gradients.sum(0), gradients.square().sum(0)
        apart.append(max(map(_relative, found, expected)))
    assert statistics.median(apart) < 1e-4, (seeds, apart)
    assert max(apart) < 0.3, (seeds, apart)


def test_statistics_are_the_data_sets(kernels: Kernels) -> None:
    case = CASES["normalized"]
    model, data = build(case), samples(case, N)
    wide, _ = reference(model, data, Mode.FIXED)
    network = explicit(model, case, kernels)
    network.forward(data, Mode.BATCH, network.workspace())
    for norm, right in zip(network.norms, _norms(wide), strict=True):
        torch.testing.assert_close(norm.mean.double(), right.mean, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(norm.var.double(), right.var, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kinds", list(MomentOrder))
@pytest.mark.parametrize("name", ["table2", "wide_patches", "resnet18", "mlp"])
def test_sums_do_not_depend_on_chunks(name: str, kinds: MomentOrder, kernels: Kernels) -> None:
    case = CASES[name]
    model, data = build(case), samples(case, N)
    whole = explicit_sums(model, case, kernels, data, Mode.FIXED, kinds, N)
    parts = explicit_sums(model, case, kernels, data, Mode.FIXED, kinds, 5)
    assert len(whole) == kinds
    for a, b in zip(whole, parts, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4 * float(a.abs().max()))


@pytest.mark.parametrize("name", ["table2", "normalized", "resnet18"])
def test_frozen_layers_change_nothing_for_the_others(name: str, kernels: Kernels) -> None:
    case = CASES[name]
    model, data = build(case), samples(case, N)
    (everything,) = explicit_sums(model, case, kernels, data, Mode.BATCH, MomentOrder.GRADIENT, N)
    own, frozen = copy.deepcopy(model), list(model.parameters())
    for place, parameter in enumerate(own.parameters()):
        parameter.requires_grad_(place % 3 == 2)  # the first layer and others between
    (found,) = explicit_sums(own, case, kernels, data, Mode.BATCH, MomentOrder.GRADIENT, N)
    sizes = [p.numel() for p in frozen]
    kept = [part for k, part in enumerate(everything.split(sizes)) if k % 3 == 2]
    expected = torch.cat(kept)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6 * float(expected.abs().max()))


@pytest.mark.parametrize("name", ["table2", "normalized", "mlp"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_shows(name: str, bad: float, kernels: Kernels) -> None:
    case = CASES[name]
    model, data = build(case), samples(case, N)
    weight = next(p for p in model.parameters() if p.dim() > 1)
    with torch.no_grad():
        weight.view(-1)[0] = bad
    network = explicit(model, case, kernels)
    done = network.forward(data, Mode.BATCH, network.workspace())
    assert not done.outputs.isfinite().all()


def test_memory_left_by_larger_passes_does_no_harm(kernels: Kernels) -> None:
    case = CASES["resnet18"]
    model, data = build(case), samples(case, 40)
    network = explicit(model, case, kernels)
    memory = network.workspace()
    first = network.forward(next(data.parts(3)), Mode.FIXED, memory).outputs.clone()
    network.forward(data, Mode.FIXED, memory)
    taken = memory.bytes
    again = network.forward(next(data.parts(3)), Mode.FIXED, memory).outputs
    assert torch.equal(first, again)
    network.forward(data, Mode.FIXED, memory)
    assert memory.bytes == taken


def test_inputs_may_be_float_without_standardization(kernels: Kernels) -> None:
    case = CASES["table2"]
    model, data = build(case), samples(case, N)
    x, y = data.batch(0, N, torch.float64)
    wide, _ = reference(model, data, Mode.FIXED)
    plain = type(data)(x[2:], y[2:])
    network = explicit(model, case, kernels)
    done = network.forward(plain, Mode.FIXED, network.workspace())
    assert _relative(done.outputs.double(), wide(x[2:])) < 5e-6
