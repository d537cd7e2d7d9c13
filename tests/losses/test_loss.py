"""Losses against plain PyTorch, sample by sample in float64, and what is no loss."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from gsnr_sweep.config.schema import Config
from gsnr_sweep.config.validation import problems
from gsnr_sweep.data.samples import Samples
from gsnr_sweep.data.sampling import RunSets
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.losses.loss import (
    CROSS_ENTROPY,
    SQUARED_ERROR,
    SQUARED_ERROR_OF_LABELS,
    Loss,
    Task,
    loss_of_task,
    make_loss,
    try_loss,
)
from gsnr_sweep.training.ensemble import Ensemble
from tests.conftest import typed_config
from tests.gradients.oracles import per_sample_gradients

CPU = torch.device("cpu")
N, CLASSES = 9, 4
OUTPUTS = torch.randn(N, CLASSES, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(N) % CLASSES
TARGETS = torch.randn(N, CLASSES, generator=torch.Generator().manual_seed(2)).double()


def focal(outputs: Tensor, targets: Tensor, gamma: float = 2.0) -> Tensor:
    """A loss as users write them."""
    entropy = nn.functional.cross_entropy(outputs, targets, reduction="none")
    return (1 - (-entropy).exp()) ** gamma * entropy


def scalar(outputs: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.cross_entropy(outputs, targets)


def against_the_others(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - outputs.mean(0)).square().sum(1)


def not_finite(outputs: Tensor, targets: Tensor) -> Tensor:
    return outputs.sum(1) / 0


def detached(outputs: Tensor, targets: Tensor) -> Tensor:
    return outputs.detach().square().sum(1)


def counted(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs.argmax(1) != targets).long()


def broken(outputs: Tensor, targets: Tensor) -> Tensor:
    raise ZeroDivisionError("no loss today")


def _made(*overrides: str, task: Task = "classification") -> Loss:
    cfg = typed_config(*overrides)
    assert problems(cfg) == []
    return make_loss(cfg.loss, task)


def _single(of: Any, outputs: Tensor, targets: Tensor) -> Tensor:
    """The loss of each sample alone, as PyTorch's mean over one has it."""
    pairs = zip(outputs.double(), targets, strict=True)
    return torch.stack([of(o.unsqueeze(0), t.unsqueeze(0)) for o, t in pairs])


def _squares(outputs: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.mse_loss(outputs, targets, reduction="sum")


def _one_hot_squares(outputs: Tensor, labels: Tensor) -> Tensor:
    return _squares(outputs, nn.functional.one_hot(labels, CLASSES).double())


def _hinge(others: Any, margin: float) -> Any:
    """The largest violation of each sample (Crammer & Singer) or their sum (Weston & Watkins)."""

    def mean(outputs: Tensor, labels: Tensor) -> Tensor:
        losses = [
            others([relu(margin + row[c] - row[y]) for c in range(len(row)) if c != y])
            for row, y in zip(outputs, labels.tolist(), strict=True)
        ]
        return torch.stack(losses).mean()

    return mean


def _largest(values: list[Tensor]) -> Tensor:
    return torch.stack(values).max()


EXPECTED: dict[str, tuple[tuple[str, ...], Task, Any]] = {
    "auto, labels": ((), "classification", nn.functional.cross_entropy),
    "auto, targets": ((), "regression", _squares),
    "cross entropy": (("loss=cross_entropy",), "classification", nn.functional.cross_entropy),
    "smoothed": (
        ("loss=cross_entropy", "loss.label_smoothing=0.2"),
        "classification",
        nn.CrossEntropyLoss(label_smoothing=0.2),
    ),
    "hinge": (("loss=hinge",), "classification", _hinge(_largest, 1.0)),
    "hinge, margin": (
        ("loss=hinge", "loss.margin=0.3"),
        "classification",
        _hinge(_largest, 0.3),
    ),
    "hinge, sum": (
        ("loss=hinge", "loss.others=sum", "loss.margin=2"),
        "classification",
        _hinge(sum, 2.0),
    ),
    "mse, targets": (("loss=mse",), "regression", _squares),
    "mse, labels": (("loss=mse",), "classification", _one_hot_squares),
    "function": (
        ("loss=custom", f"loss._target_={__name__}.focal", "+loss.args.gamma=1.5"),
        "classification",
        lambda o, t: focal(o, t, 1.5).mean(),
    ),
    "class": (
        (
            "loss=custom",
            "loss._target_=torch.nn.MultiMarginLoss",
            "+loss.args.reduction=none",
            "+loss.args.margin=0.5",
        ),
        "classification",
        nn.MultiMarginLoss(margin=0.5),
    ),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_losses_are_those_of_each_sample_alone(name: str) -> None:
    overrides, task, of = EXPECTED[name]
    loss = _made(*overrides, task=task)
    targets = LABELS if task == "classification" else TARGETS
    found = loss(OUTPUTS, targets)
    assert (found.dtype, found.shape) == (torch.float64, (N,))
    torch.testing.assert_close(found, _single(of, OUTPUTS, targets), rtol=1e-12, atol=1e-12)
    leaf = OUTPUTS.double().requires_grad_()
    (expected,) = torch.autograd.grad(_single(of, leaf, targets).sum(), leaf)
    gradient = loss.output_gradient(OUTPUTS, targets)
    assert gradient.dtype == torch.float32
    torch.testing.assert_close(gradient, expected.float(), rtol=1e-6, atol=1e-7)
    try_loss(loss, OUTPUTS, targets)


@pytest.mark.parametrize("margin", [0.5, 2.0])
def test_the_summed_hinge_is_pytorchs_times_the_classes(margin: float) -> None:
    loss = _made("loss=hinge", "loss.others=sum", f"loss.margin={margin}")
    torchs = nn.MultiMarginLoss(margin=margin, reduction="none")(OUTPUTS.double(), LABELS)
    torch.testing.assert_close(loss(OUTPUTS, LABELS), CLASSES * torchs)


@pytest.mark.parametrize("others", ["max", "sum"])
def test_hinge_losses_where_they_have_no_derivative(others: str) -> None:
    """Each gradient is a subgradient: the loss lies on or above the plane through its point."""
    loss = _made("loss=hinge", f"loss.others={others}")
    ties = [[0.0, 0, 0, 0], [2, 1, 1, 0], [1, 2, 2, 0], [0, 1, 0, 1], [3, 1, 0, 0], [2, 1, -9, 3]]
    at, labels = torch.tensor(ties, dtype=torch.float64), torch.zeros(len(ties), dtype=torch.long)
    gradient = loss.output_gradient(at, labels)
    there = at + torch.randn(500, *at.shape, generator=torch.Generator().manual_seed(0)).double()
    planes = loss(at, labels) + ((there - at) * gradient).sum(-1)
    lowest = torch.stack([loss(each, labels) for each in there]) - planes
    assert float(lowest.min()) > -1e-12
    assert not gradient[1].any()  # on the margin, as MultiMarginLoss has it
    assert not gradient[4].any()  # beyond it


def test_what_is_correct() -> None:
    labels = OUTPUTS.argmax(1)
    labels[0] = (labels[0] + 1) % CLASSES
    for loss in (CROSS_ENTROPY, SQUARED_ERROR_OF_LABELS):
        assert loss.count_correct(OUTPUTS, labels) == N - 1
    assert SQUARED_ERROR.count_correct(OUTPUTS, TARGETS) == 0
    assert loss_of_task("regression").is_squared_error_of_targets
    assert not SQUARED_ERROR_OF_LABELS.is_squared_error_of_targets


# --- in a run


def _samples(n: int, seed: int) -> Samples:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 6, generator=generator, dtype=torch.float64)
    return Samples(x, torch.randint(0, CLASSES, (n,), generator=generator))


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, CLASSES))


@pytest.mark.parametrize("name", [name for name in EXPECTED if "targets" not in name])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_run_minimizes_and_measures_it(name: str, dtype: str) -> None:
    """Both the compiled and the generic ways; two steps, then the moments of the third."""
    overrides, _, of = EXPECTED[name]
    tiny = ("n=11", "n_sets=2", "n_test=7", "epochs=2", "measure_at=[2]", "lr=0.05")
    cfg: Config = typed_config(*tiny, f"dtype={dtype}", *overrides)
    sets = RunSets([_samples(11, m) for m in (10, 11)], _samples(7, 99))
    model = copy.deepcopy(_network())
    (snapshot,) = Ensemble(model, sets, "classification", cfg.training, CPU).run()
    near = {"rtol": 1e-9, "atol": 1e-12} if dtype == "float64" else {"rtol": 2e-5, "atol": 2e-6}

    def losses(outputs: Tensor, y: Tensor) -> Tensor:
        return _single(of, outputs, y)

    for m, train in enumerate(sets.train):
        plain = _network().double()
        for _ in range(2):
            loss = losses(plain(train.x), train.y).mean()
            parameters = list(plain.parameters())
            with torch.no_grad():
                for p, g in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                    p -= 0.05 * g
        gradients = per_sample_gradients(plain, train.x, train.y, losses)
        torch.testing.assert_close(snapshot.gradient_sum[m], gradients.sum(0), **near)
        squares = gradients.square().sum(0)
        torch.testing.assert_close(snapshot.gradient_square_sum[m], squares, **near)
        expected = losses(plain(train.x), train.y).mean()
        assert float(snapshot.train_loss[m]) == pytest.approx(expected.item(), rel=near["rtol"])


# --- what is wrong


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (f"{__name__}.scalar", "of 9 samples it returns a Tensor of shape ()"),
        (f"{__name__}.against_the_others", "depends on the samples beside it"),
        (f"{__name__}.not_finite", "a loss is not finite"),
        (f"{__name__}.broken", "no loss today"),
        (f"{__name__}.detached", "does not depend on the outputs"),
        (f"{__name__}.counted", "not in a way that PyTorch can differentiate"),
        (f"{__name__}.N", "this is a int"),
        ("torch.nn.CrossEntropyLoss", "of 9 samples it returns a Tensor of shape ()"),
        ("nowhere.at.all", "it cannot be imported"),
        (
            "torch.nn.MSELoss",
            "it fails on outputs of shape (9, 4) in float64 and on",
        ),
    ],
)
def test_what_is_no_loss_is_refused(target: str, words: str) -> None:
    with pytest.raises(GsnrError) as refusal:
        try_loss(_made("loss=custom", f"loss._target_={target}"), OUTPUTS, LABELS)
    assert words in str(refusal.value)
    assert f"loss._target_={target}" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_arguments_that_do_not_exist() -> None:
    words = r"it cannot be made .*reductoin.* It was given reductoin=none"
    with pytest.raises(GsnrError, match=words):
        _made("loss=custom", "loss._target_=torch.nn.L1Loss", "+loss.args.reductoin=none")


@pytest.mark.parametrize("name", ["cross_entropy", "hinge"])
def test_losses_of_labels(name: str) -> None:
    with pytest.raises(GsnrError, match=f"loss={name}: these data have targets"):
        _made(f"loss={name}", task="regression")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        (
            "loss.margin=0",
            "loss.margin=0.0: margin by which a label's output is to exceed the others",
        ),
        ("loss.margin=inf", "loss.margin="),
        ("loss.margin=nan", "loss.margin="),
        ("loss.others=mean", "Allowed: max, sum."),
    ],
)
def test_a_hinge_is_at_a_positive_margin(override: str, words: str) -> None:
    (problem,) = problems(typed_config("loss=hinge", override))
    assert words in problem


@pytest.mark.parametrize("smoothing", ["-0.1", "1.1"])
def test_smoothing_is_a_share(smoothing: str) -> None:
    cfg = typed_config("loss=cross_entropy", f"loss.label_smoothing={smoothing}")
    (problem,) = problems(cfg)
    assert problem.startswith(f"loss.label_smoothing={smoothing}: ")


def test_tensors_of_a_loss_are_as_exact_as_the_outputs() -> None:
    """Weights of classes, made in float32, meet outputs in float64."""
    loss = _made("loss=custom", f"loss._target_={__name__}.Weighted")
    weight = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    expected = nn.functional.cross_entropy(
        OUTPUTS.double(), LABELS, weight=weight, reduction="none"
    )
    torch.testing.assert_close(loss(OUTPUTS, LABELS), expected)


class Weighted(nn.Module):
    """Cross entropy with weights of classes that lie in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.tensor([1.0, 2.0, 3.0, 4.0]))

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.cross_entropy(outputs, targets, self.weight, reduction="none")
