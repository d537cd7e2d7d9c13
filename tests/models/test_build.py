"""Building a network from its config: initial weights, and what a user's own class is given."""

import dataclasses
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.models.build import build_model
from gsnr_sweep.models.settings import ModelConfig
from tests.conftest import tiny_config

IMAGES = (1, 28, 28)


def _build(
    name: str = "table2_cnn", seed: int = 0, ch: int = 6, init: str = "torch", **args: Any
) -> nn.Module:
    cfg = dataclasses.replace(tiny_config(f"model={name}").model, init=init, args=args)
    return build_model(cfg, ch, IMAGES, 10, seed)


def _custom(target: str, **args: Any) -> nn.Module:
    cfg = ModelConfig("custom", f"{__name__}.{target}", "torch", args, [])
    return build_model(cfg, 6, IMAGES, 10, 0)


def _same(one: nn.Module, other: nn.Module) -> bool:
    return all(map(torch.equal, one.parameters(), other.parameters()))


# --- initial weights


BUILT_IN = ["table2_cnn", "table3_cnn", "strided_cnn", "vgg", "mlp", "linear"]


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("init", ["torch", "he", "small"])
def test_initial_weights_come_from_the_seed_alone(name: str, init: str) -> None:
    expected = _build(name, init=init)
    torch.manual_seed(123)
    state = torch.random.get_rng_state()
    assert _same(_build(name, init=init), expected)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not _same(_build(name, init=init, seed=1), expected)


def test_the_preset_torch_is_pytorchs_own() -> None:
    torch.manual_seed(5)
    expected = nn.Sequential(nn.Flatten(), nn.Linear(784, 6), nn.ReLU(), nn.Linear(6, 10))
    assert _same(_build("mlp", seed=5), expected)


@pytest.mark.parametrize(("name", "ch"), [("table2_cnn", 40), ("table3_cnn", 16), ("mlp", 500)])
def test_the_preset_he_is_normal_with_two_over_fan_in(name: str, ch: int) -> None:
    model = _build(name, ch=ch, init="he")
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) >= 2
    for layer in layers:
        weight = layer.weight.detach().double()
        fan_in, count = weight[0].numel(), weight.numel()
        std = math.sqrt(2 / fan_in)
        assert layer.bias is not None
        assert not layer.bias.any()
        assert abs(float(weight.mean())) < 5 * std / math.sqrt(count)
        assert abs(float(weight.std()) / std - 1) < 5 / math.sqrt(2 * count)
        if count > 3000:  # a normal's kurtosis is 3, a uniform's 1.8
            kurtosis = float((weight / weight.std()).pow(4).mean())
            assert abs(kurtosis - 3) < 5 * math.sqrt(24 / count)


@pytest.mark.parametrize(("name", "ch"), [("table2_cnn", 40), ("mlp", 500)])
def test_the_preset_small_is_normal_with_a_tenth(name: str, ch: int) -> None:
    model = _build(name, ch=ch, init="small")
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) >= 2
    for layer in layers:
        weight, count = layer.weight.detach().double(), layer.weight.numel()
        assert layer.bias is not None
        assert not layer.bias.any()
        assert abs(float(weight.mean())) < 5 * 0.1 / math.sqrt(count)
        assert abs(float(weight.std()) / 0.1 - 1) < 5 / math.sqrt(2 * count)


@pytest.mark.parametrize("init", ["he", "small"])
def test_normalization_is_left_alone(init: str) -> None:
    model = _build("table3_cnn", init=init)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == 8
    assert all(bool((m.weight == 1).all()) and not m.bias.any() for m in norms)


# --- a user's class


class TakesAll(nn.Linear):
    def __init__(self, ch: int, input_shape: tuple[int, ...], n_outputs: int, bias: bool = True):
        super().__init__(ch, n_outputs, bias)
        self.given = (ch, input_shape, n_outputs)


class TakesOne(nn.Linear):
    def __init__(self, n_outputs: int) -> None:
        super().__init__(2, n_outputs)


class TakesNone(nn.Linear):
    def __init__(self) -> None:
        super().__init__(2, 3)


class DrawsOnItsOwn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(5))

    def forward(self, x: Tensor) -> Tensor:
        return x


def test_a_users_class_is_given_what_it_names() -> None:
    model = _custom("TakesAll")
    assert isinstance(model, TakesAll)
    assert model.given == (6, IMAGES, 10)
    assert _custom("TakesOne").weight.shape == (10, 2)
    assert _custom("TakesNone").weight.shape == (3, 2)


def test_further_arguments_are_passed_and_overrule() -> None:
    assert _custom("TakesAll", bias=False).bias is None
    assert _custom("TakesAll", ch=3).weight.shape == (10, 3)


def test_a_users_class_is_seeded_too() -> None:
    one, other = _custom("DrawsOnItsOwn"), _custom("DrawsOnItsOwn")
    assert _same(one, other)


def not_a_class() -> nn.Module:
    return nn.Linear(2, 2)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (f"{__name__}.Absent", "no attribute 'Absent'"),
        (f"{__name__}.not_a_class", "no torch.nn.Module"),
        ("builtins.dict", "no torch.nn.Module"),
        ("absent_module.Net", "No module named 'absent_module'"),
        ("Net", "cannot be imported"),
        ("", "cannot be imported"),
    ],
)
def test_what_is_no_network(target: str, words: str) -> None:
    with pytest.raises(GsnrError, match=words) as refusal:
        build_model(ModelConfig("custom", target, "torch", {}, []), 6, IMAGES, 10, 0)
    assert str(refusal.value).startswith(f"model._target_={target}: ")


def test_a_constructor_that_refuses_is_quoted_with_what_it_was_given() -> None:
    with pytest.raises(GsnrError, match=r"unexpected keyword argument 'colour'.*n_outputs=10"):
        _custom("TakesOne", colour="red")


class Adjacent(nn.Linear):
    """Keeps a sparse matrix beside its weights."""

    def __init__(self, n_outputs: int) -> None:
        super().__init__(4, n_outputs)
        self.register_buffer("edges", torch.eye(2).to_sparse())


def test_a_sparse_buffer_which_no_checkpoint_holds() -> None:
    with pytest.raises(GsnrError, match=r"Adjacent: edges is sparse.* Make it dense"):
        _custom("Adjacent")
