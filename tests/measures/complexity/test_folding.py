"""Folded networks against the networks themselves."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils import parametrizations

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.gradients.batchnorm import norms_of, replace_batchnorm
from gsnr_sweep.gradients.full_batch import use_full_batch_statistics
from gsnr_sweep.measures.complexity.folding import folded
from gsnr_sweep.models.resnet18 import ResNet18
from gsnr_sweep.models.table3_cnn import Table3CNN
from tests.measures.complexity.networks import (
    NETWORKS,
    VECTORS,
    PreActivationBlock,
    given_inputs,
    given_network,
    randomized,
    wide,
)


def norms_left(model: nn.Module) -> list[str]:
    kinds = nn.modules.batchnorm._BatchNorm
    return [name for name, module in model.named_modules() if isinstance(module, kinds)]


def inputs(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def assert_same_function(found: nn.Module, expected: nn.Module, x: Tensor) -> None:
    with torch.no_grad():
        outputs = expected(x)
        error = float((found(x) - outputs).abs().max() / outputs.abs().max())
    assert error < 1e-12


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_of_the_reference(name: str) -> None:
    x = given_inputs(name)
    found = folded(given_network(name), x)(x)
    torch.testing.assert_close(found, wide(VECTORS[name]["logits"])[: len(x)], rtol=1e-9, atol=0)


FOLDABLE = {
    "conv without bias": (
        nn.Sequential(nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm2d(3)),
        (2, 5, 5),
    ),
    "conv with bias": (nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3, eps=0.3)), (2, 5, 5)),
    "groups": (nn.Sequential(nn.Conv2d(4, 6, 3, groups=2), nn.BatchNorm2d(6)), (4, 5, 5)),
    "conv1d": (nn.Sequential(nn.Conv1d(2, 3, 3, bias=False), nn.BatchNorm1d(3)), (2, 7)),
    "conv3d": (nn.Sequential(nn.Conv3d(2, 3, 2), nn.BatchNorm3d(3)), (2, 4, 4, 4)),
    "linear": (nn.Sequential(nn.Linear(4, 3, bias=False), nn.BatchNorm1d(3), nn.ReLU()), (4,)),
    "no affine": (nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, affine=False)), (4,)),
    "twice": (nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.BatchNorm1d(3)), (4,)),
    "dropout": (nn.Sequential(nn.Linear(4, 3), nn.Dropout(), nn.BatchNorm1d(3)), (4,)),
    "circular": (
        nn.Sequential(nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"), nn.BatchNorm2d(3)),
        (2, 5, 5),
    ),
    "other layers": (
        nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.GELU(), nn.LayerNorm(3)),
        (4,),
    ),
    "Table 3": (Table3CNN(2, (3, 32, 32), 10), (3, 32, 32)),
    "ResNet18": (ResNet18(2, (3, 16, 16), 10), (3, 16, 16)),
}


@pytest.mark.parametrize("name", FOLDABLE)
def test_the_function_stays_and_no_norm_is_left(name: str) -> None:
    model, shape = FOLDABLE[name]
    model = randomized(copy.deepcopy(model), seed=2)
    x = inputs(4, *shape)
    found = folded(model, x)
    assert_same_function(found, model, x)
    assert norms_left(found) == []
    assert norms_left(model) != []


class TwoReaders(nn.Module):
    """A convolution whose output is normalized and used as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return self.norm(y) + y


class UsedTwice(nn.Module):
    """One convolution in two places, or one normalization."""

    def __init__(self, twice: str) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(2, 2, 1) for _ in range(2))
        self.norms = nn.ModuleList(nn.BatchNorm2d(2) for _ in range(2))
        getattr(self, twice)[1] = getattr(self, twice)[0]

    def forward(self, x: Tensor) -> Tensor:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = norm(conv(x)).relu()
        return x


class SizeReader(nn.Module):
    """A convolution whose output is normalized; its size is asked for, too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return self.norm(y).view(y.size(0), y.shape[1] * y.shape[2], -1)


NOT_FOLDABLE = {
    "first": (nn.Sequential(nn.BatchNorm2d(2), nn.Conv2d(2, 3, 1)), ["0"]),
    "after ReLU": (nn.Sequential(nn.Conv2d(2, 3, 1), nn.ReLU(), nn.BatchNorm2d(3)), ["2"]),
    "pre-activation": (PreActivationBlock(2), ["norm1"]),
    "two readers": (TwoReaders(), ["norm"]),
    "conv twice": (UsedTwice("convs"), ["norms.0", "norms.1"]),
    "norm twice": (UsedTwice("norms"), ["norms.0"]),
    "size": (SizeReader(), []),
    # Features of the linear layer are its last axis, channels of the normalization the second.
    "tokens": (nn.Sequential(nn.Flatten(2), nn.Linear(9, 2), nn.BatchNorm1d(2)), ["2"]),
}


@pytest.mark.parametrize("name", NOT_FOLDABLE)
def test_what_cannot_be_folded_stays(name: str) -> None:
    model, left = NOT_FOLDABLE[name]
    model = randomized(model, seed=4)
    x = inputs(2, 2, 3, 3)
    found = folded(model, x)
    assert norms_left(found) == left
    assert_same_function(found, model, x)


def test_the_network_itself_stays_as_it_is() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)).train()
    before = copy.deepcopy(model.state_dict())
    found = folded(model, torch.randn(2, 4))
    assert model.training
    assert not found.training
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert {p.dtype for p in model.parameters()} == {torch.float32}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_ordinary_module_with_ordinary_parameters(dtype: torch.dtype) -> None:
    model = randomized(
        nn.Sequential(nn.Linear(4, 3, bias=False), nn.BatchNorm1d(3), nn.Linear(3, 2))
    )
    x = inputs(5, 4).to(dtype)
    found = folded(model, x, dtype)
    names = {name: p.shape for name, p in found.named_parameters()}
    assert list(names) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert all(p.dtype == dtype and p.is_leaf and p.requires_grad for p in found.parameters())
    moved = {name: p.detach() + 0.1 for name, p in found.named_parameters()}
    hidden = torch.nn.functional.linear(x, moved["0.weight"], moved["0.bias"])
    expected = torch.nn.functional.linear(hidden, moved["2.weight"], moved["2.bias"])
    torch.testing.assert_close(functional_call(found, moved, (x,)), expected)
    found(x).sum().backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in found.parameters())


def test_statistics_of_the_training_set() -> None:
    """A sweep's own layers, which hold the exact statistics of the training set."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm2d(3), nn.ReLU()).double()
    nn.init.normal_(model[1].weight)
    x = 2 + 3 * inputs(6, 2, 5, 5)
    outputs = model.train()(x).detach()
    replaced = replace_batchnorm(copy.deepcopy(model)).double()
    with pytest.raises(GsnrError, match=r"1 \(FullBatchNorm\): it normalizes with the statistics"):
        folded(replaced, x)
    use_full_batch_statistics(replaced, norms_of(replaced), lambda: iter([(x, x)]), 1)
    found = folded(replaced, x)
    assert norms_of(found) == []
    torch.testing.assert_close(found(x), outputs, rtol=1e-12, atol=1e-12)


class Untraceable(nn.Module):
    """Looks at the values that it computes."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(3, 3), norm)

    def forward(self, x: Tensor) -> Tensor:
        y = self.inner(x)
        return y if y.sum() > 0 else -y


def test_without_batch_normalization_any_network_is_copied() -> None:
    model = Untraceable(nn.LayerNorm(3))
    x = inputs(4, 3)
    found = folded(model, x.float())
    assert {p.dtype for p in found.parameters()} == {torch.float64}
    assert torch.equal(found(x), copy.deepcopy(model).double()(x))
    lstm = folded(nn.LSTM(3, 2), x)
    assert isinstance(lstm, nn.LSTM)


def test_parametrized_weights_are_read_as_they_take_effect() -> None:
    torch.manual_seed(3)
    model = nn.Sequential(
        parametrizations.weight_norm(nn.Conv2d(2, 4, 3, bias=False)),
        nn.BatchNorm2d(4),
        nn.Flatten(),
        parametrizations.spectral_norm(nn.Linear(36, 3)),
    )
    x = inputs(4, 2, 5, 5)
    randomized(model)
    found = folded(model, x)
    assert_same_function(found, model, x)
    names = {name for name, _ in found.named_parameters()}
    assert names == {"0.weight", "0.bias", "3.weight", "3.bias"}
    assert type(found[0]) is nn.Conv2d
    # The copy shares its class with the network itself, which stays parametrized.
    assert "0.parametrizations.weight.original0" in dict(model.named_parameters())
    assert model[0].weight.shape == (4, 2, 3, 3)


class OwnNorm(nn.BatchNorm1d):
    """Normalizes in a way of its own."""

    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


class ReadsWeights(nn.Module):
    """Uses a layer's weight outside of the layer."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.norm = nn.Linear(3, 3), nn.BatchNorm1d(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.fc(x)) @ self.fc.weight


class Uncopyable(nn.Linear):
    """Refuses to be copied."""

    def __deepcopy__(self, memo: dict) -> nn.Module:
        raise TypeError("no copies")


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (Untraceable(nn.BatchNorm1d(3)), "cannot be traced at Untraceable: TraceError"),
        (nn.Sequential(nn.Linear(3, 3), OwnNorm(3)), "1 (OwnNorm): it overrides"),
        (
            nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3, track_running_stats=False)),
            "1 (BatchNorm1d): it normalizes with the statistics of each batch",
        ),
        (ReadsWeights(), "reads a layer's weights itself"),
        (Uncopyable(3, 3), "cannot be copied (TypeError: no copies)"),
        (nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)), "fails on an example of shape [2, 3]"),
    ],
)
def test_what_is_refused(model: nn.Module, said: str) -> None:
    with pytest.raises(GsnrError) as error:
        folded(randomized(model), inputs(2, 3))
    assert said in str(error.value)


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_a_weight_that_a_hook_computes() -> None:
    model = nn.Sequential(nn.Linear(3, 3))
    torch.nn.utils.weight_norm(model[0])
    with pytest.raises(GsnrError, match=r"cannot be copied .* torch\.nn\.utils\.parametrizations"):
        folded(model, inputs(2, 3))
    with torch.no_grad():
        model(torch.zeros(2, 3))
    with pytest.raises(GsnrError, match=r"0 \(Linear\): its weight is no parameter"):
        folded(model, inputs(2, 3))


@pytest.mark.parametrize("example", [torch.zeros(0, 3), torch.zeros(3)])
def test_an_example_has_samples(example: Tensor) -> None:
    with pytest.raises(GsnrError, match="An example needs a sample axis"):
        folded(nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)), example)
