"""What a measurement leaves as it was: everything."""

import copy
import pickle
import random
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from gsnr_sweep import gradient_statistics, osgr
from gsnr_sweep.errors import GsnrError
from tests.api.networks import SmallViT, cnn

X, Y = torch.randn(12, 2, 8, 8), torch.arange(12) % 4


class Counting(nn.Module):
    """Draws numbers and changes itself whenever it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.inside, self.calls = cnn()[0], 0
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.seen += len(x)
        random.random()
        np.random.rand()
        torch.rand(1)
        return self.inside(x)


def _prepared() -> tuple[Counting, DataLoader[tuple[Tensor, ...]]]:
    model = Counting().train()
    model.inside[1].eval()
    model.inside[5].bias.requires_grad_(False)
    F.cross_entropy(model(X.double()), Y).backward()
    generator = torch.Generator().manual_seed(3)
    return model, DataLoader(TensorDataset(X, Y), 5, shuffle=True, generator=generator)


def _state(model: nn.Module, loader: DataLoader[tuple[Tensor, ...]]) -> bytes:
    """Everything that training goes on from."""
    assert loader.generator is not None
    return pickle.dumps(
        [
            *([k, v.numpy().tobytes()] for k, v in model.state_dict().items()),
            *(
                [k, None if p.grad is None else p.grad.numpy().tobytes()]
                for k, p in model.named_parameters()
            ),
            *([k, m.training] for k, m in model.named_modules()),
            [p.requires_grad for p in model.parameters()],
            [len(m._forward_hooks) for m in model.modules()],
            getattr(model, "calls", None),
            loader.generator.get_state().numpy().tobytes(),
            torch.get_rng_state().numpy().tobytes(),
            random.getstate(),
            [str(part) for part in np.random.get_state()],
            torch.is_grad_enabled(),
            torch.backends.mha.get_fastpath_enabled(),
        ]
    )


@pytest.mark.parametrize("batch_norm", ["running", "training_set"])
def test_the_network_and_all_random_numbers(batch_norm: str) -> None:
    model, loader = _prepared()
    before, places = _state(model, loader), [id(p) for p in model.parameters()]
    gradient_statistics(model, loader, batch_norm=batch_norm)  # type: ignore[arg-type]
    assert _state(model, loader) == before
    osgr(model, [loader], (X, Y), batch_norm=batch_norm)  # type: ignore[arg-type]
    assert _state(model, loader) == before
    assert [id(p) for p in model.parameters()] == places


class EndsError(Exception):
    pass


@pytest.mark.parametrize("error", [EndsError, KeyboardInterrupt])
@pytest.mark.parametrize("place", ["loss", "network"])
def test_also_when_it_fails_half_way(error: type[BaseException], place: str) -> None:
    model, loader = _prepared()
    calls = 0

    def fail(*_: object) -> None:
        nonlocal calls
        calls += 1
        torch.rand(1)
        if calls > 25:
            raise error

    def loss(outputs: Tensor, y: Tensor) -> Tensor:
        if place == "loss":
            fail()
        return F.cross_entropy(outputs, y, reduction="none")

    if place == "network":
        model.register_forward_hook(fail)
    before = _state(model, loader)
    with pytest.raises((GsnrError, error)):
        osgr(model, [loader], (X, Y), loss=loss, batch_size=2)
    assert calls > 25
    assert _state(model, loader) == before


def _in(context: Callable[[], object]) -> Tensor:
    model, x = SmallViT().double(), torch.randn(6, 1, 12, 12)
    data = x, torch.arange(6) % 4
    expected = gradient_statistics(model, data)
    with context():  # type: ignore[attr-defined]
        found = gradient_statistics(model, data)
    torch.testing.assert_close(found.variance["head.weight"], expected.variance["head.weight"])
    return found.mean["head.weight"]


def test_it_may_be_called_without_gradients_or_in_mixed_precision() -> None:
    _in(torch.no_grad)
    assert not _in(torch.inference_mode).is_inference()
    _in(lambda: torch.autocast("cpu", torch.bfloat16))


def test_batches_made_in_inference_mode_are_taken() -> None:
    with torch.inference_mode():
        x = torch.randn(6, 3)
    gradient_statistics(nn.Linear(3, 2), (x, torch.arange(6) % 2))


def test_a_loader_in_the_middle_of_a_pass_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    loader = DataLoader(TensorDataset(X, Y), 3, num_workers=1, persistent_workers=True)
    model, seen = cnn()[0], []
    for _, y in loader:
        seen += y.tolist()
        gradient_statistics(model, loader)
    assert seen == Y.tolist()


def test_training_is_the_same_with_and_without_measuring() -> None:
    def trained(measure: bool) -> Iterator[Tensor]:
        torch.manual_seed(5)
        model = cnn()[0]
        loader = DataLoader(TensorDataset(X.double(), Y), 5, shuffle=True)
        optimizer = torch.optim.Adam(model.parameters())
        for x, y in loader:
            optimizer.zero_grad()
            F.cross_entropy(model.train()(F.dropout(x)), y).backward()
            if measure:
                gradient_statistics(model, loader)
            optimizer.step()
        return model.parameters()

    assert all(torch.equal(a, b) for a, b in zip(trained(True), trained(False), strict=True))


def test_the_copy_shares_nothing() -> None:
    model, loader = _prepared()
    twin = copy.deepcopy(model)
    gradient_statistics(model, loader).mean["inside.0.weight"].zero_()
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters(), strict=True)
    )
