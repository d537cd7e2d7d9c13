"""The VGG network against the paper's list of layers, plain PyTorch, and per-sample autograd."""

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from gsnr_sweep.config.identity import run_identity
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.gradients import Method
from gsnr_sweep.models.build import build_model
from gsnr_sweep.models.vgg import VGG
from gsnr_sweep.preflight.check import check
from gsnr_sweep.training.ensemble import Ensemble
from tests.conftest import TINY, expanded, tiny_config
from tests.gradients.oracles import per_sample_gradients
from tests.measures.networks import CPU, config_of, cross_entropy, sets_of
from tests.models.statistics import with_statistics_of

CIFAR, MNIST = (3, 32, 32), (1, 28, 28)
LAYERS = nn.Conv2d | nn.Linear


def _weights(model: nn.Module) -> list[Tensor]:
    return [m.weight.detach() for m in model.modules() if isinstance(m, LAYERS)]


def _size(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


# --- shape and size


def test_the_papers_network_has_ten_layers_and_its_number_of_weights() -> None:
    with torch.device("meta"):
        weights = _weights(VGG(64, CIFAR, 10))
    pairs = [(3, 64), (64, 64), (64, 128), (128, 128)]
    pairs += [(128, 256), (256, 256), (256, 512), (512, 512)]
    by_hand = sum(9 * a * b for a, b in pairs) + 512 * 512 + 512 * 10
    assert len(weights) == 10
    assert sum(w.numel() for w in weights) == by_hand == 4_950_720  # the paper's 4.95 million


def test_the_small_network_of_three_stages() -> None:
    model = VGG(16, CIFAR, 10, stages=3)
    # 16, 16, P, 32, 32, P, 64, 64, P, 4×4 average, fc 64, fc 10; biases included
    convolutions = 448 + 2_320 + 4_640 + 9_248 + 18_496 + 36_928
    assert _size(model) == convolutions + 64 * 65 + 10 * 65 == 76_890


@pytest.mark.parametrize("pool", ["average", "max"])
@pytest.mark.parametrize(
    ("shape", "stages", "maps"),
    [
        (CIFAR, 4, [(16, 16), (8, 8), (4, 4), (4, 4)]),
        (CIFAR, 3, [(16, 16), (8, 8), (4, 4)]),
        (MNIST, 4, [(14, 14), (7, 7), (7, 7), (7, 7)]),
        ((2, 16, 40), 2, [(8, 20), (4, 10)]),
    ],
)
def test_maps_from_stage_to_stage(
    shape: tuple[int, ...], stages: int, maps: list[tuple[int, int]], pool: str
) -> None:
    model, x, found = VGG(3, shape, 7, stages, pool=pool), torch.zeros(2, *shape), []
    for name, layer in model.named_children():
        x = layer(x)
        if name.startswith("relu") and name.endswith("b"):
            found.append(tuple(x.shape[1:]))
        if name == "last_pool":
            assert x.shape == (2, 3 << (stages - 1), 1, 1)
    assert found == [(3 << stage, *sides) for stage, sides in enumerate(maps)]
    assert x.shape == (2, 7)


def _paper(model: VGG, x: Tensor, pool: str) -> Tensor:
    """The paper's list of layers, with pooling behind ReLU, on the weights of a network."""
    layers = {name: dict(layer.named_parameters()) for name, layer in model.named_children()}

    def normalized(h: Tensor, name: str) -> Tensor:
        own = layers.get(f"bn{name}")
        if own is None:
            return h
        shape = (1, -1, *(1 for _ in h.shape[2:]))
        axes = [axis for axis in range(h.dim()) if axis != 1]
        mean, var = h.mean(axes, keepdim=True), h.var(axes, correction=0, keepdim=True)
        return own["weight"].view(shape) * (h - mean) / (var + 1e-5).sqrt() + own["bias"].view(
            shape
        )

    for stage in range(1, 5):
        for part in "ab":
            own = layers[f"conv{stage}{part}"]
            x = functional.conv2d(x, own["weight"], own["bias"], padding=1)
            x = normalized(x, f"{stage}{part}").clamp(min=0)
        if stage < 4:
            x = x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).amax((3, 5))
    assert x.shape[2:] == (4, 4)
    x = x.mean((2, 3)) if pool == "average" else x.amax((2, 3))
    x = normalized(x @ layers["fc1"]["weight"].T + layers["fc1"]["bias"], "_fc1").clamp(min=0)
    return x @ layers["fc2"]["weight"].T + layers["fc2"]["bias"]


@pytest.mark.parametrize("pool", ["average", "max"])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_it_computes_what_the_papers_list_says(batch_norm: bool, pool: str) -> None:
    model = VGG(2, CIFAR, 10, batch_norm=batch_norm, pool=pool).double()
    for p in model.parameters():
        nn.init.normal_(p, std=0.3)
    x, y = torch.randn(6, *CIFAR, dtype=torch.float64), torch.arange(6)
    outputs, expected = model(x), _paper(model, x, pool)
    torch.testing.assert_close(outputs, expected, rtol=1e-10, atol=1e-10)
    assert float(expected.detach().std()) > 1e-3
    of = list(model.parameters())
    for g, e in zip(
        torch.autograd.grad(functional.cross_entropy(outputs, y), of),
        torch.autograd.grad(functional.cross_entropy(expected, y), of),
        strict=True,
    ):
        torch.testing.assert_close(g, e, rtol=1e-8, atol=1e-10)


# --- batch normalization and dropout


def test_batch_normalization_stands_before_every_relu() -> None:
    for batch_norm in (False, True):
        layers = list(VGG(2, CIFAR, 10, batch_norm=batch_norm))
        kinds = [type(layer) for layer in layers if not isinstance(layer, nn.MaxPool2d)]
        before_relu = [kinds[i - 1] for i, kind in enumerate(kinds) if kind is nn.ReLU]
        norms = [nn.BatchNorm2d] * 8 + [nn.BatchNorm1d]
        assert before_relu == (norms if batch_norm else [nn.Conv2d] * 8 + [nn.Linear])


def test_dropout_stands_behind_every_stage_and_before_the_last_layer() -> None:
    assert not any(isinstance(layer, nn.Dropout) for layer in VGG(2, CIFAR, 10))
    layers = list(VGG(2, CIFAR, 10, dropout=0.3))
    places = [i for i, layer in enumerate(layers) if isinstance(layer, nn.Dropout)]
    assert all(getattr(layers[i], "p", None) == 0.3 for i in places)
    after = [type(layers[i + 1]) for i in places]
    assert after == [nn.Conv2d] * 3 + [nn.Flatten, nn.Linear]


@pytest.mark.parametrize("chunk", ["null", "2"])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_moments_are_those_of_autograd(batch_norm: bool, chunk: str) -> None:
    torch.manual_seed(1)
    model = VGG(2, (3, 16, 16), 4, stages=2, batch_norm=batch_norm).double()
    cfg = config_of(f"chunk_size={chunk}")
    sets = sets_of(cfg, (3, 16, 16))
    ensemble = Ensemble(copy.deepcopy(model), sets, "classification", cfg.training, CPU)
    assert ensemble.method is Method.LAYERWISE
    (shot,) = ensemble.run()
    for m, train in enumerate(sets.train):
        own = with_statistics_of(copy.deepcopy(model), train.x)
        rows = per_sample_gradients(own, train.x, train.y, cross_entropy)
        assert rows.shape[1] == ensemble.n_parameters == _size(model)
        close = {"rtol": 1e-8, "atol": 1e-12}
        torch.testing.assert_close(shot.gradient_sum[m], rows.sum(0), **close)
        torch.testing.assert_close(shot.gradient_square_sum[m], rows.square().sum(0), **close)


# --- from a config


def _built(*overrides: str) -> nn.Module:
    cfg = tiny_config("data=cifar10", "model=vgg", *overrides)
    return build_model(cfg.model, cfg.ch, CIFAR, 10, seed=3)


def test_initial_weights_are_he_normal_of_convolutions_and_full_layers() -> None:
    model = _built("ch=16")
    weights = _weights(model)
    assert len(weights) == 10
    for weight in weights:
        std = math.sqrt(2 / weight[0].numel())
        assert abs(float(weight.double().std()) / std - 1) < 5 / math.sqrt(2 * weight.numel())
    biases = [p for name, p in model.named_parameters() if name.endswith("bias")]
    assert len(biases) == 10
    assert not any(bool(p.any()) for p in biases)


def test_arguments_of_the_config() -> None:
    every = ("model.args.stages=2", "model.args.batch_norm=true", "model.args.pool=max")
    model = _built("ch=3", *every, "model.args.dropout=0.5")
    kinds = [type(layer) for layer in model.children()]
    assert kinds.count(nn.Conv2d) == 4
    assert kinds.count(nn.BatchNorm2d) == 4
    assert kinds.count(nn.BatchNorm1d) == 1
    assert kinds.count(nn.Dropout) == 3
    assert nn.AdaptiveAvgPool2d not in kinds


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"stages": 0}, "stages=0"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"dropout": -0.1}, "dropout=-0.1"),
        ({"pool": "median"}, "pool=median"),
    ],
)
def test_arguments_out_of_range(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        VGG(4, CIFAR, 10, **arguments)
    cfg = tiny_config("model=vgg")
    cfg.model.args |= arguments
    with pytest.raises(GsnrError, match=rf"model=vgg: .*{words}.*other model.args"):
        build_model(cfg.model, 4, CIFAR, 10, 0)


@pytest.mark.parametrize("shape", [(2,), (28, 28), (1, 15, 28)])
def test_what_is_no_image_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least 16x16"):
        VGG(4, shape, 10)


def test_every_argument_is_of_the_identity() -> None:
    others = ["stages=3", "batch_norm=true", "dropout=0.1", "pool=max"]
    configs = [
        tiny_config("model=vgg"),
        *(tiny_config("model=vgg", f"model.args.{o}") for o in others),
    ]
    assert len({run_identity(cfg) for cfg in configs}) == 5


def test_a_launch_counts_its_parameters_and_operations() -> None:
    grid = expanded("-m", *TINY, "data=cifar10", "model=vgg", "ch=1,64")
    small, large = check(grid.points)
    with torch.device("meta"):
        assert small.n_parameters == _size(VGG(1, CIFAR, 10))
    assert large.n_parameters == 4_950_720 + 2 * (64 + 128 + 256 + 512) + 512 + 10
    sides = [32, 32, 16, 16, 8, 8, 4, 4]
    pairs = [(3, 64), (64, 64), (64, 128), (128, 128)]
    pairs += [(128, 256), (256, 256), (256, 512), (512, 512)]
    convolutions = sum(9 * a * b * s * s for (a, b), s in zip(pairs, sides, strict=True))
    assert large.forward_flops == 2 * (convolutions + 512 * 512 + 512 * 10)
