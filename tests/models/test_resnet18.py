"""ResNet18 for CIFAR's images: its shape, its size, and per-sample gradients through it."""

import copy
import math
from functools import lru_cache

import pytest
import torch
from torch import nn

from gsnr_sweep.data.sampling import RunSets
from gsnr_sweep.engine.autograd import prepare_network
from gsnr_sweep.gradients import Method
from gsnr_sweep.gradients.method import choose_moments_method
from gsnr_sweep.losses.loss import CROSS_ENTROPY
from gsnr_sweep.models.resnet18 import ResNet18
from gsnr_sweep.training.ensemble import Ensemble
from gsnr_sweep.training.snapshot import Snapshot
from tests.gradients.oracles import per_sample_gradients
from tests.measures.networks import CPU, config_of, cross_entropy, sets_of
from tests.models.statistics import with_statistics_of

CIFAR, SMALL = (3, 32, 32), (3, 16, 16)


def _size(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


# --- shape and size


def test_the_usual_network_has_the_usual_size() -> None:
    with torch.device("meta"):
        assert _size(ResNet18(64, CIFAR, 10)) == 11_173_962


@pytest.mark.parametrize("p", [1, 2, 6])
def test_size_by_hand(p: int) -> None:
    size = 3 * p * 9 + 2 * p  # first convolution, and a normalization's gain and offset
    narrow = p
    for stage in range(4):
        wide = p * 2**stage
        size += 9 * narrow * wide + 3 * 9 * wide * wide + 4 * 2 * wide
        if stage:
            size += narrow * wide + 2 * wide  # shortcut
        narrow = wide
    assert _size(ResNet18(p, CIFAR, 10)) == size + 8 * p * 10 + 10


@pytest.mark.parametrize("shape", [CIFAR, (1, 28, 28), SMALL], ids=str)
def test_shapes_from_stage_to_stage(shape: tuple[int, ...]) -> None:
    model, x = ResNet18(3, shape, 7).eval(), torch.zeros(2, *shape)
    shapes = {}
    for name, layer in model.named_children():
        x = layer(x)
        shapes[name] = tuple(x.shape)
    sides = [math.ceil(shape[1] / 2**stage) for stage in range(4)]
    assert shapes["conv1"] == (2, 3, *shape[1:])
    for stage, side in enumerate(sides):
        assert shapes[f"layer{stage + 1}"] == (2, 3 * 2**stage, side, side)
    assert shapes["flatten"] == (2, 24)
    assert shapes["fc"] == (2, 7)


def test_eighteen_layers_with_weights() -> None:
    """17 convolutions and a full layer, besides three shortcuts of 1×1."""
    layers = [m for m in ResNet18(2, CIFAR, 10).modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    shortcuts = [m for m in layers if isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1)]
    assert (len(layers) - len(shortcuts), len(shortcuts)) == (18, 3)
    assert [m.stride for m in shortcuts] == [(2, 2)] * 3
    assert all(m.bias is None for m in layers if isinstance(m, nn.Conv2d))


@pytest.mark.parametrize("shape", [(2,), (3, 8, 8), (28, 28)], ids=str)
def test_what_is_no_image_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least 16x16"):
        ResNet18(2, shape, 10)


# --- per-sample gradients


def _tiny() -> ResNet18:
    torch.manual_seed(0)
    return ResNet18(2, SMALL, 4).double()


def _ensemble(chunk: str, *overrides: str) -> tuple[Ensemble, RunSets]:
    cfg = config_of("n=6", "n_test=4", f"chunk_size={chunk}", *overrides)
    sets = sets_of(cfg, SMALL)
    return Ensemble(copy.deepcopy(_tiny()), sets, "classification", cfg.training, CPU), sets


@lru_cache
def _measured(chunk: str) -> tuple[list[Snapshot], Ensemble, RunSets]:
    ensemble, sets = _ensemble(chunk, "epochs=1", "measure_at=[0,1]")
    return list(ensemble.run()), ensemble, sets


def test_the_way_is_layer_by_layer() -> None:
    ensemble, _ = _ensemble("null")
    assert ensemble.method is Method.LAYERWISE
    model = prepare_network(ResNet18(4, CIFAR, 10), torch.float32, CPU)
    x, y = torch.randn(3, *CIFAR), torch.arange(3)
    assert choose_moments_method(model, x, y, CROSS_ENTROPY) is Method.LAYERWISE


@pytest.mark.parametrize("chunk", ["null", "4", "1"])
def test_moments_are_those_of_autograd_with_fixedwith_statistics_of(chunk: str) -> None:
    (shot, _), ensemble, sets = _measured(chunk)
    for m, train in enumerate(sets.train):
        model = with_statistics_of(_tiny(), train.x)
        rows = per_sample_gradients(model, train.x, train.y, cross_entropy)
        assert rows.shape[1] == ensemble.n_parameters == _size(model)
        close = {"rtol": 1e-8, "atol": 1e-12}
        torch.testing.assert_close(shot.gradient_sum[m], rows.sum(0), **close)
        torch.testing.assert_close(shot.gradient_square_sum[m], rows.square().sum(0), **close)


@pytest.mark.parametrize("chunk", ["null", "4", "1"])
def test_the_stepped_gradient_is_that_of_one_full_batch(chunk: str) -> None:
    """Through the statistics of all samples, however few are passed through at once."""
    ensemble, sets = _ensemble(chunk)
    for replica, train in zip(ensemble.replicas, sets.train, strict=True):
        model = _tiny().train()
        loss = cross_entropy(model(train.x), train.y).mean()
        expected = torch.autograd.grad(loss, list(model.parameters()))
        assert len(expected) == 62
        for mine, right in zip(replica.gradient(), expected, strict=True):
            torch.testing.assert_close(mine, right, rtol=1e-7, atol=1e-12)


def test_chunks_make_no_difference_after_a_step() -> None:
    (_, whole), *_ = _measured("null")
    (_, chunked), *_ = _measured("4")
    torch.testing.assert_close(chunked.gradient_sum, whole.gradient_sum, rtol=1e-7, atol=1e-11)
    torch.testing.assert_close(chunked.test_loss_next, whole.test_loss_next, rtol=1e-9, atol=0)
    assert not torch.equal(whole.train_loss, whole.train_loss_next)
