"""Which way a network's passes go, and that both ways give the same numbers."""

import copy
import dataclasses
import logging
from typing import Any

import pytest
import torch
from torch import nn

from gsnr_sweep.config.schema import Config
from gsnr_sweep.data.sampling import RunSets
from gsnr_sweep.engine.autograd import prepare_network
from gsnr_sweep.engine.cpu import MomentOrder
from gsnr_sweep.engine.cpu.conv_block import ConvBlock
from gsnr_sweep.engine.cpu.engine import CpuEngine
from gsnr_sweep.engine.selection import EngineChoice
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.losses.loss import CROSS_ENTROPY
from gsnr_sweep.training.ensemble import Ensemble
from gsnr_sweep.training.snapshot import Snapshot
from tests.engine.cpu.networks import CASES, Case, samples
from tests.engine.instruction_sets import EACH, needs_kernels
from tests.training.test_ensemble import _config

CPU = torch.device("cpu")


def _plan(case: Case, cfg: Config, dtype: torch.dtype = torch.float32) -> EngineChoice:
    torch.manual_seed(0)
    model = prepare_network(case.build(), dtype, CPU)
    x, y = samples(case, 3).batch(0, 3, dtype)
    return EngineChoice.of(model, x, y, CROSS_ENTROPY, cfg.engine)


def _ensemble(case: Case, cfg: Config) -> Ensemble:
    torch.manual_seed(0)
    sets = [samples(case, cfg.n, seed=m) for m in range(cfg.n_sets)]
    test = samples(case, cfg.n_test, seed=99)
    return Ensemble(case.build(), RunSets(sets, test), "classification", cfg.training, CPU)


def _uses_kernels(ensemble: Ensemble) -> bool:
    return all(isinstance(r.engine, CpuEngine) for r in ensemble.replicas)


@needs_kernels
@pytest.mark.parametrize("name", list(CASES))
def test_networks_with_an_explicit_form_use_it(name: str) -> None:
    assert _plan(CASES[name], _config()).explicit


@pytest.mark.parametrize("override", ["kernels=none", "dtype=float64"])
def test_others_do_not(override: str) -> None:
    cfg = _config(override)
    assert not _plan(CASES["table2"], cfg, getattr(torch, cfg.dtype)).explicit


def test_kernels_that_are_not_there_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gsnr_sweep.engine.cpu.kernels.compiled.available", lambda: ("baseline",))
    with pytest.raises(GsnrError, match=r"kernels=avx512: .*auto, none, baseline"):
        _plan(CASES["table2"], _config("kernels=avx512"))


@needs_kernels
def test_kernels_that_compute_something_else_are_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    right = ConvBlock.convolve

    def wrong(self: ConvBlock, *arguments: Any) -> Any:
        found = right(self, *arguments)
        found.data.mul_(-1)
        return found

    monkeypatch.setattr(ConvBlock, "convolve", wrong)
    with caplog.at_level(logging.WARNING):
        assert not _plan(CASES["plain"], _config()).explicit
    assert "compute something else than PyTorch: not used" in caplog.text


@needs_kernels
@pytest.mark.parametrize("kernels", EACH)
@pytest.mark.parametrize("name", list(CASES))
def test_a_run_with_kernels_gives_the_numbers_of_a_run_without(name: str, kernels: str) -> None:
    cfg = _config("dtype=float32", "n=37", "n_test=41", "epochs=2", "measure_at=[0,2]", "lr=0.001")
    fast = _ensemble(CASES[name], dataclasses.replace(cfg, kernels=kernels))
    slow = _ensemble(CASES[name], dataclasses.replace(cfg, kernels="none"))
    assert _uses_kernels(fast)
    assert not _uses_kernels(slow)
    for a, b in zip(fast.run(), slow.run(), strict=True):
        _assert_alike(a, b)


def _assert_alike(a: Snapshot, b: Snapshot) -> None:
    for field in ("train_loss", "train_loss_next", "test_loss", "test_loss_next"):
        torch.testing.assert_close(getattr(a, field), getattr(b, field), rtol=1e-5, atol=1e-6)
    # a ReLU or a pooling that rounding decides moves a gradient by more than rounding
    for field in ("gradient_sum", "gradient_square_sum", "step_sq_norm"):
        mine, other = getattr(a, field), getattr(b, field)
        assert float((mine - other).norm()) <= 2e-2 * float(other.norm())


@needs_kernels
@pytest.mark.parametrize("name", ["table3", "normalized", "resnet18"])
def test_normalization_beyond_memory_gives_the_same_numbers(name: str) -> None:
    cfg = _config("dtype=float32", "n=40", "n_sets=1", "epochs=1", "measure_at=[1]", "lr=0.001")
    whole = _ensemble(CASES[name], cfg)
    parts = _ensemble(CASES[name], dataclasses.replace(cfg, chunk_size=16))
    assert whole.chunks.step == 40
    assert parts.chunks.step == 16
    (a,), (b,) = whole.run(), parts.run()
    _assert_alike(a, b)


@pytest.mark.parametrize("kernels", ["none", pytest.param("auto", marks=needs_kernels)])
@pytest.mark.parametrize("limit", ["1MB", "3MB", "1GB"])
def test_normalization_leaves_room_for_what_is_kept(kernels: str, limit: str) -> None:
    """Passes in one go, as those of mini-batches, may still take all the memory there is."""
    cfg = _config("dtype=float32", "n=500", f"memory_limit={limit}", f"kernels={kernels}")
    plan = _plan(CASES["table3"], cfg)
    sizes, limit_in_bytes = plan.chunks(cfg.engine), cfg.engine.memory_limit
    activations, _ = plan.bytes_per_sample
    assert sizes.step * activations <= limit_in_bytes
    if activations * 500 <= limit_in_bytes:
        assert (sizes.step, sizes.kept_bytes) == (500, 0)
        return
    assert 1 <= sizes.normalized <= sizes.step
    assert sizes.normalized * activations + sizes.kept_bytes == limit_in_bytes
    assert sizes.kept_bytes >= limit_in_bytes // 2 or sizes.normalized == 1


@needs_kernels
def test_a_block_beyond_the_memory_limit_goes_by_autograd() -> None:
    case = CASES["table3"]
    plenty, little = (_plan(case, _config(f"memory_limit={m}")) for m in ("10MB", "200KB"))
    assert plenty.explicit
    assert not little.explicit


@needs_kernels
def test_signs_are_counted_only_if_wanted() -> None:
    ensemble = _ensemble(CASES["table2"], _config("dtype=float32"))
    without, _ = ensemble.replicas[0].moments(signs=False)
    with_signs, _ = ensemble.replicas[0].moments()
    assert without.positive is None
    assert without.negative is None
    assert with_signs.positive is not None
    assert torch.equal(without.sum, with_signs.sum)
    assert int(with_signs.positive.max()) <= len(ensemble.replicas[0].train)


@needs_kernels
def test_the_memory_of_a_sample_is_what_a_pass_takes() -> None:
    case = CASES["table3"]
    plan = _plan(case, _config())
    network = plan.explicit_network(plan.model)
    assert network is not None
    memory = network.workspace()
    data = samples(case, 20 * memory.lanes)
    from gsnr_sweep.engine.cpu import Sums
    from gsnr_sweep.gradients.batchnorm import Mode

    model = copy.deepcopy(plan.model)
    own = plan.explicit_network(model)
    assert own is not None
    done = own.forward(data, Mode.BATCH, memory)
    own.backward(done, torch.ones_like(done.outputs), Sums(model.parameters(), MomentOrder.SQUARES))
    stated = plan.bytes_per_sample[0] * len(data)
    assert 0.8 * stated < memory.bytes < 1.2 * stated


def test_a_network_without_trained_layers_before_the_head() -> None:
    torch.manual_seed(0)
    case = CASES["table2"]
    model = case.build()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith("fc2"))
    cfg = _config("dtype=float32", "n=20", "n_sets=1", "epochs=1", "measure_at=[1]")
    sets = RunSets([samples(case, 20)], samples(case, 17))
    found = []
    for kernels in ("auto", "none"):
        own = dataclasses.replace(cfg, kernels=kernels)
        ensemble = Ensemble(copy.deepcopy(model), sets, "classification", own.training, CPU)
        found += list(ensemble.run())
    assert found[0].gradient_sum.shape == found[1].gradient_sum.shape
    _assert_alike(found[0], found[1])


def test_linear_layers_need_no_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gsnr_sweep.engine.cpu.kernels.compiled.available", lambda: ())
    cfg = _config("dtype=float32", "n=20", "n_sets=1", "epochs=1", "measure_at=[1]")
    ensemble = _ensemble(CASES["mlp"], cfg)
    assert _uses_kernels(ensemble)
    (a,) = ensemble.run()
    (b,) = _ensemble(CASES["mlp"], dataclasses.replace(cfg, kernels="none")).run()
    _assert_alike(a, b)


def test_a_user_s_network_with_hooks_is_left_to_autograd() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 10))
    model.register_forward_hook(lambda *_: None)
    plan = _plan(Case(lambda: model, (1, 6, 6)), _config())
    assert not plan.explicit
