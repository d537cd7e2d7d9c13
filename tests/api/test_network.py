"""Networks and settings that cannot be measured: one paragraph each, and what may be given."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from gsnr_sweep import gradient_statistics
from gsnr_sweep.errors import GsnrError

X, Y = torch.randn(9, 4), torch.arange(9) % 3


class Acting(nn.Module):
    """A linear layer, and something done with its output."""

    def __init__(self, act: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.fc, self.act = nn.Linear(4, 3), act

    def forward(self, x: Tensor) -> object:
        return self.act(self.fc(x))


class NotCopied(nn.Linear):
    def __deepcopy__(self, _: object) -> "NotCopied":
        raise RuntimeError("no copy")


def holding(tensor: Tensor) -> nn.Module:
    """A linear layer that keeps a tensor beside."""
    layer = nn.Linear(4, 3)
    layer.register_buffer("held", tensor)
    return layer


def a_function(x: Tensor) -> Tensor:
    return x


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "no network": (lambda: a_function, "model: this is of type function"),
    "other inputs": (lambda: nn.Linear(5, 3), r"of shape \(4,\).*with RuntimeError: mat1 and mat2"),
    "tuple": (lambda: Acting(lambda h: (h, h)), "it returns a value of type tuple"),
    "dictionary": (lambda: Acting(lambda h: {"logits": h}), "it returns a value of type dict"),
    "one output": (lambda: Acting(lambda h: h.mean()), r"a tensor of shape \(\)"),
    "labels": (lambda: Acting(lambda h: h.argmax(1)), "type torch.int64"),
    "mixes samples": (
        lambda: Acting(lambda h: h - h.mean(0)),
        "depends on the other samples of its batch",
    ),
    "random": (
        lambda: Acting(lambda h: h + torch.randn_like(h)),
        "different outputs for the same input",
    ),
    "detached": (lambda: Acting(lambda h: h.detach()), "does not depend on its parameters"),
    "frozen": (lambda: nn.Linear(4, 3).requires_grad_(False), "no trained parameters"),
    "lazy": (lambda: nn.LazyLinear(3), "weight has no size before the first pass"),
    "of no values": (lambda: nn.Linear(4, 3, device="meta"), "weight has no values"),
    "TorchScript in it": (
        lambda: nn.Sequential(torch.jit.script(nn.Linear(4, 3))),  # type: ignore[no-untyped-call]
        "0 is a TorchScript module",
    ),
    "complex": (
        lambda: holding(torch.eye(3, dtype=torch.complex64)),
        r"held is complex \(complex64\)",
    ),
    "not copied": (lambda: NotCopied(4, 3), r"cannot be copied \(RuntimeError: no copy\)"),
    "no running statistics": (
        lambda: nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, track_running_stats=False)),
        r"1 \(BatchNorm1d\) keeps no running statistics.*batch_norm='training_set'",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_networks_that_are_refused(name: str) -> None:
    make, said = REFUSED[name]
    with pytest.raises(GsnrError, match=said) as error:
        gradient_statistics(make(), (X, Y))  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def test_one_that_fails_on_later_samples() -> None:
    def act(h: Tensor) -> Tensor:
        if len(h) > 5:
            raise ValueError("six are a crowd")
        return h

    with pytest.raises(GsnrError, match=r"it fails on some samples of data .*six are a crowd"):
        gradient_statistics(Acting(act), [(X[:5], Y[:5]), (X, Y)])


SETTINGS = {
    "batch_size": (0, "batch_size=0: a positive whole number"),
    "memory_limit": ("1GB", "memory_limit='1GB': a positive whole number of bytes"),
    "variance": ("biased", "variance='biased': 'plugin' or 'unbiased' is needed"),
    "batch_norm": ("batch", "batch_norm='batch': 'running' or 'training_set'"),
    "dtype": (torch.float16, "dtype=torch.float16: torch.float32, torch.float64 or None"),
    "device": ("cuda:99", "device='cuda:99': .*Give device='cpu'"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_that_are_refused(name: str) -> None:
    value, said = SETTINGS[name]
    with pytest.raises(GsnrError, match=said) as error:
        gradient_statistics(nn.Linear(4, 3), (X, Y), **{name: value})  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def test_wrappers_are_looked_into() -> None:
    model = nn.Linear(4, 3)
    expected = gradient_statistics(model, (X, Y))
    for wrapped in (nn.DataParallel(model), torch.compile(model)):
        found = gradient_statistics(wrapped, (X, Y))  # type: ignore[arg-type]
        torch.testing.assert_close(found.variance["weight"], expected.variance["weight"])


def test_float64_may_be_asked_for() -> None:
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    found = gradient_statistics(model, (X, Y), dtype=torch.float64)
    expected = gradient_statistics(model.double(), (X, Y))
    torch.testing.assert_close(found.variance["0.weight"], expected.variance["0.weight"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that PyTorch can use")
def test_on_a_gpu() -> None:
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    expected = gradient_statistics(model, (X, Y))
    for found in (
        gradient_statistics(model, (X, Y), device="cuda"),
        gradient_statistics(model.cuda(), (X, Y)),
    ):
        assert found.variance["0.weight"].is_cuda
        torch.testing.assert_close(found.variance["0.weight"].cpu(), expected.variance["0.weight"])
    assert found.to_dataframe()["gsnr"].notna().all()


def test_a_sparse_buffer_is_no_hindrance() -> None:
    """Of the networks that a sweep refuses, which could not keep it in a checkpoint."""
    stats = gradient_statistics(holding(torch.eye(3).to_sparse()), (X, Y))
    assert list(stats.gsnr) == ["weight", "bias"]
