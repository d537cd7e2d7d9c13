"""Which networks are read, and how the others are refused."""

import copy
import math
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.measures.complexity.folding import folded
from gsnr_sweep.measures.complexity.graph import Network, Operation, read_network
from tests.measures.complexity.networks import BasicBlock


def read(model: nn.Module, x: Tensor) -> Network:
    return read_network(folded(model, x), x)


def test_steps_with_their_shapes() -> None:
    model = nn.Sequential(
        *(nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Dropout(), nn.Linear(36, 5)),
    )
    network = read(model, torch.randn(2, 3, 15, 14))
    assert [(s.name, s.operation, s.input_shape, s.output_shape) for s in network.steps] == [
        ("input", Operation.INPUT, (3, 15, 14), (3, 15, 14)),
        ("0 (Conv2d)", Operation.WEIGHT, (3, 15, 14), (4, 7, 6)),
        ("1 (Identity)", Operation.IDENTITY, (4, 7, 6), (4, 7, 6)),
        ("2 (ReLU)", Operation.RELU, (4, 7, 6), (4, 7, 6)),
        ("3 (MaxPool2d)", Operation.MAX_POOL, (4, 7, 6), (4, 3, 3)),
        ("4 (Flatten)", Operation.RESHAPE, (4, 3, 3), (36,)),
        ("5 (Dropout)", Operation.IDENTITY, (36,), (36,)),
        ("6 (Linear)", Operation.WEIGHT, (36,), (5,)),
    ]
    assert [step.reads for step in network.steps] == [(), *((i,) for i in range(7))]
    assert network.branching is None
    assert network.diagonal is None


def test_branches_are_read() -> None:
    network = read(nn.Sequential(nn.Linear(2, 3), BasicBlock(3)), torch.randn(2, 2))
    assert network.branching is not None
    assert network.branching.name == "function add in 1 (BasicBlock)"
    names = [network.steps[i].name for i in network.branching.reads]
    assert names == ["1.second (Linear)", "1.shortcut (Identity)"]


class Calls(nn.Module):
    """A linear layer, and a function of its output."""

    def __init__(self, function: object) -> None:
        super().__init__()
        self.fc, self.shift = nn.Linear(4, 4), nn.Parameter(torch.ones(4))
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, self.fc(x))  # type: ignore[operator]


class Applies(nn.Module):
    """A layer that wants its arguments in another form than one tensor, then a linear one."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer, self.fc = layer, nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        more = (x, x) if isinstance(self.layer, nn.MultiheadAttention) else ()
        return self.fc(self.layer(x, *more)[0])


class OwnLinear(nn.Linear):
    """Computes something of its own."""

    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


TOKENS = torch.zeros(2, 3, dtype=torch.long)
REFUSED = [
    (nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)), (4,), "1 (LayerNorm)"),
    (nn.Sequential(nn.Linear(4, 4), nn.GELU()), (4,), "1 (GELU)"),
    (nn.Sequential(nn.Linear(4, 4), nn.LeakyReLU()), (4,), "1 (LeakyReLU)"),
    (nn.Sequential(nn.Linear(4, 4), nn.ReLU6()), (4,), "1 (ReLU6)"),
    (nn.Sequential(nn.Linear(4, 4), nn.Softmax(dim=1)), (4,), "1 (Softmax)"),
    (nn.Sequential(nn.Conv2d(2, 4, 1), nn.GroupNorm(2, 4)), (2, 3, 3), "1 (GroupNorm)"),
    (nn.Sequential(nn.ConvTranspose2d(2, 4, 1)), (2, 3, 3), "0 (ConvTranspose2d)"),
    (
        nn.Sequential(nn.Conv2d(2, 4, 3, padding=1, padding_mode="reflect")),
        (2, 3, 3),
        "0 (Conv2d): it pads with padding_mode=reflect",
    ),
    (nn.Sequential(nn.AdaptiveMaxPool2d(1)), (2, 3, 3), "0 (AdaptiveMaxPool2d)"),
    (nn.Sequential(nn.Embedding(5, 4), nn.Flatten(), nn.Linear(12, 2)), TOKENS, "0 (Embedding)"),
    (Applies(nn.MultiheadAttention(4, 2)), (3, 4), "layer (MultiheadAttention)"),
    (Applies(nn.LSTM(4, 4)), (3, 4), "layer (LSTM)"),
    (nn.TransformerEncoderLayer(4, 2, 8), (3, 4), "0 (TransformerEncoderLayer)"),
    (nn.Sequential(OwnLinear(4, 4)), (4,), "0.weight in 0 (OwnLinear)"),
    (nn.Sequential(Calls(lambda _, x: functional.gelu(x))), (4,), "function gelu in 0 (Calls)"),
    (Calls(lambda _, x: torch.cat([x, x], 1)), (4,), "function cat"),
    (Calls(lambda _, x: x.transpose(1, 2)), (3, 4), "function transpose"),
    (Calls(lambda _, x: x * 2), (4,), "function mul"),
    (Calls(lambda _, x: x + 1), (4,), "function add: it takes 1 values that are computed, not 2"),
    (Calls(lambda _, x: torch.add(x, x, alpha=2)), (4,), "with alpha=2"),
    (Calls(lambda _, x: x + x[:, :1]), (4,), "function getitem"),
    (Calls(lambda _, x: x + x.view(-1, 1, 4)), (4,), "of shapes [4] and [1, 4]"),
    (Calls(lambda self, x: x + self.shift), (4,), "shift"),
    (Calls(lambda _, x: functional.dropout(x)), (4,), "function dropout: it drops out in eval"),
    (Calls(lambda _, x: x.flatten()), (4,), "function flatten: it gives a tensor of shape [8]"),
    (Calls(lambda _, x: x.chunk(2, 1)[0]), (4,), "function chunk: this operation"),
    (Calls(lambda _, x: (x, x)), (4,), "more than one output"),
    (
        Calls(lambda self, x: self.fc.weight),
        (4,),
        "fc.weight: the forward pass reads",
    ),
    (nn.Sequential(Calls(lambda _, x: x if x.sum() > 0 else -x)), (4,), "traced at 0 (Calls)"),
    (nn.Bilinear(4, 4, 2), (4,), "0 (Bilinear)"),
]


@pytest.mark.parametrize(("model", "shape", "said"), REFUSED, ids=[said for *_, said in REFUSED])
def test_what_has_no_norms_is_refused_by_name(
    model: nn.Module, shape: tuple[int, ...] | Tensor, said: str
) -> None:
    x = shape if isinstance(shape, Tensor) else torch.randn(2, *shape)
    with pytest.raises(GsnrError) as error:
        read(model, x)
    assert said in str(error.value)


class InPlace(nn.Module):
    """ReLU in place on a value that is read again."""

    def __init__(self, inplace: bool) -> None:
        super().__init__()
        self.fc, self.relu = nn.Linear(4, 4), nn.ReLU(inplace=inplace)

    def forward(self, x: Tensor) -> Tensor:
        y = self.fc(x)
        return self.relu(y) + y


def test_what_is_read_is_what_the_network_computes() -> None:
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    read(InPlace(inplace=False), x)
    with pytest.raises(GsnrError, match="an operation in place overwrites what is read again"):
        read(InPlace(inplace=True), x)
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    model[0].register_forward_hook(lambda *_: None)
    read(model, x)
    model[0].register_forward_hook(lambda module, args, outputs: 2 * outputs)
    with pytest.raises(GsnrError, match="A forward hook changes it"):
        read(model, x)


def test_one_sample_is_enough_of_an_example() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    one, two = (read(model, torch.randn(n, 2, 2)) for n in (1, 2))
    assert [s.output_shape for s in one.steps] == [s.output_shape for s in two.steps]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_finite(value: float) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    model[2].bias.data[1] = value
    with pytest.raises(GsnrError, match=r"2\.bias holds NaN or infinite values"):
        read(copy.deepcopy(model), torch.randn(2, 4))


POOLS = [
    (kind, axes) for kind in ("max_pool", "avg_pool", "adaptive_avg_pool") for axes in (1, 2, 3)
]


@pytest.mark.parametrize(("kind", "axes"), POOLS)
def test_pooling_functions_are_read_as_their_layer(kind: str, axes: int) -> None:
    function = getattr(functional, f"{kind}{axes}d")
    network = read(Calls(lambda _, x: function(x, 2)), torch.randn(2, 3, *(4,) * axes))
    layer = network.steps[-1].layer
    assert layer is not None
    assert type(layer).__name__ == f"{kind.title().replace('_', '')}{axes}d"
    x = torch.randn(2, 3, *(4,) * axes)
    assert torch.equal(layer(x), function(x, 2))


@pytest.fixture
def threads_take_turns_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("threads_take_turns_often")
def test_networks_are_read_while_other_threads_compute() -> None:
    """While torch.fx traces one network, every call of a module in the process goes through it."""
    x = torch.randn(5, 4)
    models = [nn.Sequential(*(BasicBlock(4) for _ in range(k + 1))).eval() for k in range(4)]
    expected = [model(x).detach() for model in models]
    stop, wrong = threading.Event(), []

    def computes() -> None:
        while not stop.is_set():
            for model, before in zip(models, expected, strict=True):
                found = model(x)
                if not torch.equal(found.detach(), before):
                    wrong.append(found)

    def reads(k: int) -> tuple[str, ...]:
        return tuple(step.name for step in read(models[k % 4], x).steps)

    alone = [reads(k) for k in range(4)]
    with ThreadPoolExecutor(4) as pool:
        others = [pool.submit(computes) for _ in range(2)]
        found = list(pool.map(reads, range(24)))
        stop.set()
        for other in others:
            other.result()
    assert not wrong
    assert found == [alone[k % 4] for k in range(24)]
