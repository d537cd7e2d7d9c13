"""Networks of the user's own, tried before a launch on the run's data and in its dtype."""

import sys
import threading
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.preflight import measure_check, model_check
from gsnr_sweep.preflight.check import check
from tests.conftest import TINY, expanded

DATA = ("data=custom", f"data._target_={__name__}.sentences", "data.standardize=false")


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    """Nothing is remembered of earlier trials."""
    model_check.try_model.cache_clear()
    measure_check._outcome_of.cache_clear()


def passes(name: str, *more: str) -> None:
    check(expanded(*TINY, "data=toy", *model(name), *more).points)


def model(name: str) -> tuple[str, str]:
    return "model=custom", f"model._target_={__name__}.{name}"


def told(name: str, *more: str) -> str:
    with pytest.raises(GsnrError) as refusal:
        passes(name, *more)
    said = str(refusal.value)
    assert said.startswith(f"model._target_={__name__}.{name}")
    assert "\n" not in said
    return said


class Line(nn.Module):
    """A linear network; the base of what others do beside."""

    def __init__(self, input_shape: tuple[int, ...], n_outputs: int) -> None:
        super().__init__()
        self.fc = nn.Linear(input_shape[0], n_outputs)

    def forward(self, x: Tensor) -> Any:
        return self.fc(x)


# --- what may be


class Prints(Line):
    def forward(self, x: Tensor) -> Any:
        print("a line")
        return self.fc(x)


class Counts(Line):
    """Has a buffer of whole numbers, and one of booleans."""

    def __init__(self, input_shape: tuple[int, ...], n_outputs: int) -> None:
        super().__init__(input_shape, n_outputs)
        self.register_buffer("count", torch.arange(3))
        self.register_buffer("mask", torch.tensor([True, False]))
        self.whole = nn.Parameter(torch.arange(2), requires_grad=False)

    def forward(self, x: Tensor) -> Any:
        return self.fc(x) * self.count.max()


class Tied(nn.Module):
    def __init__(self, input_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.first = nn.Linear(input_shape[0], input_shape[0])
        self.second = nn.Linear(input_shape[0], 1)
        self.third = nn.Linear(input_shape[0], input_shape[0])
        self.third.weight = self.first.weight

    def forward(self, x: Tensor) -> Any:
        return self.second(self.third(self.first(x).tanh()))


class Unused(Line):
    """Has a parameter that gets no gradient."""

    def __init__(self, input_shape: tuple[int, ...], n_outputs: int) -> None:
        super().__init__(input_shape, n_outputs)
        self.other = nn.Linear(3, 3)


class Doubles(Line):
    """Is made in another dtype than the run's."""

    def __init__(self, input_shape: tuple[int, ...], n_outputs: int) -> None:
        super().__init__(input_shape, n_outputs)
        self.double()


class Recurrent(nn.Module):
    """Begins with a state in the default dtype."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTM(1, 4, batch_first=True)
        self.out = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Any:
        state = torch.zeros(1, len(x), 4)
        steps, _ = self.cell(x.unsqueeze(2), (state, state))
        return self.out(steps[:, -1])


class Words(nn.Module):
    """Takes whole numbers from 0 to 6, as its data are."""

    def __init__(self, n_outputs: int) -> None:
        super().__init__()
        self.words = nn.Embedding(7, 3)
        self.out = nn.Linear(3, n_outputs)

    def forward(self, x: Tensor) -> Any:
        return self.out(self.words(x.long()).mean(1))


class Normed(Line):
    """Has a weight norm of today's kind."""

    def __init__(self, input_shape: tuple[int, ...], n_outputs: int) -> None:
        super().__init__(input_shape, n_outputs)
        nn.utils.parametrizations.weight_norm(self.fc)


def sentences() -> Any:
    generator = torch.Generator().manual_seed(0)
    words = torch.randint(7, (60, 5), generator=generator)
    pairs = [(one.float(), int(one[0] > 3)) for one in words]
    return pairs, pairs


@pytest.mark.parametrize(
    "name",
    [*("Line", "Prints", "Counts", "Tied", "Unused", "Doubles", "Recurrent", "Normed")],
)
def test_networks_that_can_be_trained(name: str) -> None:
    passes(name)


@pytest.mark.parametrize("name", ["Line", "Counts", "Tied", "Doubles", "Normed"])
def test_in_float64_too(name: str) -> None:
    passes(name, "dtype=float64")


def test_a_network_is_tried_in_the_runs_dtype() -> None:
    assert "inputs of shape (2,) in float64: RuntimeError" in told("Recurrent", "dtype=float64")


def test_a_network_is_given_the_runs_own_samples() -> None:
    passes("Words", *DATA)


# --- what is refused


class Lazy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.LazyLinear(1)


class Script(Line):
    def __init__(self, input_shape: tuple[int, ...], n_outputs: int) -> None:
        super().__init__(input_shape, n_outputs)
        self.fc = torch.jit.script(self.fc)


class OldNorm(Line):
    def __init__(self, input_shape: tuple[int, ...], n_outputs: int) -> None:
        super().__init__(input_shape, n_outputs)
        nn.utils.weight_norm(self.fc)


class Complex(Line):
    def __init__(self, input_shape: tuple[int, ...], n_outputs: int) -> None:
        super().__init__(input_shape, n_outputs)
        self.phase = nn.Parameter(torch.zeros(2, dtype=torch.complex64))


class Meta(Line):
    def __init__(self, input_shape: tuple[int, ...], n_outputs: int) -> None:
        super().__init__(input_shape, n_outputs)
        self.to("meta")


class Locked(Line):
    def __init__(self, input_shape: tuple[int, ...], n_outputs: int) -> None:
        super().__init__(input_shape, n_outputs)
        self.lock = threading.Lock()


class Sparse(Words):
    def __init__(self, n_outputs: int) -> None:
        super().__init__(n_outputs)
        self.words = nn.Embedding(7, 3, sparse=True)


class Leaves(Line):
    def __init__(self, input_shape: tuple[int, ...]) -> None:
        sys.exit(0)


class Empty(nn.Module):
    def forward(self, x: Tensor) -> Any:
        return x[:, :1]


class Pair(Line):
    def forward(self, x: Tensor) -> Any:
        return self.fc(x), None


class Dictionary(Line):
    def forward(self, x: Tensor) -> Any:
        return {"logits": self.fc(x)}


class Nothing(Line):
    def forward(self, x: Tensor) -> Any:
        self.fc(x)


class Whole(Line):
    def forward(self, x: Tensor) -> Any:
        return self.fc(x).long()


class Half(Line):
    def forward(self, x: Tensor) -> Any:
        with torch.autocast("cpu", torch.bfloat16):
            return self.fc(x)


class Flat(Line):
    def forward(self, x: Tensor) -> Any:
        return self.fc(x).squeeze(1)


class NotFinite(Line):
    def forward(self, x: Tensor) -> Any:
        return self.fc(x) / 0


class InPlace(Line):
    def forward(self, x: Tensor) -> Any:
        return self.fc(x.mul_(2))


class Exits(Line):
    def forward(self, x: Tensor) -> Any:
        sys.exit(0)


class Interrupts(Line):
    def forward(self, x: Tensor) -> Any:
        raise KeyboardInterrupt


class StopsIteration(Line):
    def forward(self, x: Tensor) -> Any:
        raise StopIteration


class Recurses(Line):
    def forward(self, x: Tensor) -> Any:
        return self.forward(x)


class SetsDtype(Line):
    def forward(self, x: Tensor) -> Any:
        torch.set_default_dtype(torch.float64)
        return self.fc(x)


class SetsGrad(Line):
    def __init__(self, input_shape: tuple[int, ...], n_outputs: int) -> None:
        super().__init__(input_shape, n_outputs)
        torch.set_grad_enabled(False)


class OfSize(Line):
    def forward(self, x: Tensor) -> Any:
        return self.fc(x) * len(x)


class FailsInBackward(Line):
    def forward(self, x: Tensor) -> Any:
        outputs = self.fc(x)
        if outputs.requires_grad:
            outputs.register_hook(lambda _: sys.exit(0))
        return outputs


WRONG = {
    "Lazy": "fc.weight has no size before the first pass (a lazy layer)",
    "Script": "fc is a TorchScript module",
    "OldNorm": "fc has the deprecated torch.nn.utils.weight_norm",
    "Complex": "phase is complex (complex64)",
    "Meta": "fc.weight has no values (device 'meta')",
    "Locked": "it cannot be copied to replicas (TypeError: cannot pickle",
    "Leaves": "it asks to leave Python: SystemExit 0, test_own_models.py line",
    "Empty": "no trained parameters",
    "Pair": "it returns a tuple of 2; one tensor of shape (3, 1) is needed",
    "Dictionary": "it returns a dict of 1;",
    "Nothing": "it returns None;",
    "Whole": "it returns int64;",
    "Half": "it returns bfloat16;",
    "Flat": "it returns a tensor of shape (3,);",
    "NotFinite": "it returns values that are not finite;",
    "InPlace": "its forward changes its inputs in place",
    "Exits": "it asks to leave Python: SystemExit 0, test_own_models.py line",
    "Interrupts": "KeyboardInterrupt, test_own_models.py line",
    "StopsIteration": "StopIteration, test_own_models.py line",
    "Recurses": "RecursionError: maximum recursion depth exceeded",
    "SetsDtype": "it changes the default dtype to torch.float64",
    "SetsGrad": "it changes whether gradients are recorded",
    "OfSize": "depends on the other samples of its batch",
    "FailsInBackward": "it asks to leave Python: SystemExit 0, test_own_models.py line",
}


@pytest.mark.parametrize(("name", "words"), WRONG.items(), ids=WRONG)
def test_networks_that_cannot_be_trained(name: str, words: str) -> None:
    assert words in told(name)
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()


def test_sparse_gradients() -> None:
    assert "words has sparse gradients" in told("Sparse", *DATA)
