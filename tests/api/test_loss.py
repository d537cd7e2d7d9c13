"""Losses and their reductions: the mean gradient is that of the loss which is trained with."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gsnr_sweep import gradient_statistics
from gsnr_sweep.errors import GsnrError
from tests.api.networks import CLASSES, gradients_one_by_one

N = 15
Losses = Callable[[Tensor, Tensor], Tensor]
WEIGHTS = torch.tensor([0.2, 1.0, 3.0, 0.5], dtype=torch.float64)


def _network() -> tuple[nn.Module, Tensor, dict[str, Tensor]]:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, CLASSES)).double()
    labels = torch.arange(N) % CLASSES
    targets = {
        "labels": labels,
        "with_ignored": labels.where(torch.arange(N) % 5 != 1, -100),
        "probabilities": torch.rand(N, CLASSES, dtype=torch.float64).softmax(1),
        "values": torch.randn(N, CLASSES, dtype=torch.float64),
        "bits": torch.randint(0, 2, (N, CLASSES)).double(),
    }
    return model, torch.randn(N, 5), targets


def nll(outputs: Tensor, y: Tensor) -> Tensor:
    return -outputs.log_softmax(1).gather(1, y.clamp_min(0).unsqueeze(1)).squeeze(1)


def smoothed(outputs: Tensor, y: Tensor, weights: Tensor, eps: float) -> Tensor:
    """Numerators of cross entropy with label smoothing and class weights, as PyTorch documents."""
    uniform = -(outputs.log_softmax(1) * weights).sum(1) / CLASSES
    return (1 - eps) * weights[y] * nll(outputs, y) + eps * uniform


def weighted(numerators: Tensor, denominators: Tensor) -> Tensor:
    return len(numerators) * numerators / denominators.sum()


# name: (loss, kind of targets, what the losses are whose mean it is)
LOSSES: dict[str, tuple[Losses, str, Losses]] = {
    "cross entropy": (nn.CrossEntropyLoss(), "labels", nll),
    "cross entropy, sum": (nn.CrossEntropyLoss(reduction="sum"), "labels", nll),
    "cross entropy, none": (nn.CrossEntropyLoss(reduction="none"), "labels", nll),
    "label smoothing": (
        nn.CrossEntropyLoss(label_smoothing=0.2),
        "labels",
        lambda o, y: smoothed(o, y, torch.ones(CLASSES, dtype=torch.float64), 0.2),
    ),
    "class weights": (
        nn.CrossEntropyLoss(weight=WEIGHTS.float().double()),
        "labels",
        lambda o, y: weighted(WEIGHTS.float().double()[y] * nll(o, y), WEIGHTS.float()[y].double()),
    ),
    "class weights, sum": (
        nn.CrossEntropyLoss(weight=WEIGHTS, reduction="sum"),
        "labels",
        lambda o, y: WEIGHTS[y] * nll(o, y),
    ),
    "class weights and smoothing": (
        nn.CrossEntropyLoss(weight=WEIGHTS, label_smoothing=0.1),
        "labels",
        lambda o, y: weighted(smoothed(o, y, WEIGHTS, 0.1), WEIGHTS[y]),
    ),
    "probabilities": (
        nn.CrossEntropyLoss(),
        "probabilities",
        lambda o, y: -(o.log_softmax(1) * y).sum(1),
    ),
    "negative log likelihood": (
        nn.NLLLoss(weight=WEIGHTS),
        "labels",
        lambda o, y: weighted(-WEIGHTS[y] * o[torch.arange(len(y)), y], WEIGHTS[y]),
    ),
    "squared error": (nn.MSELoss(), "values", lambda o, y: (o - y).square().mean(1)),
    "squared error, sum": (
        nn.MSELoss(reduction="sum"),
        "values",
        lambda o, y: (o - y).square().sum(1),
    ),
    "binary": (
        nn.BCEWithLogitsLoss(pos_weight=WEIGHTS),
        "bits",
        lambda o, y: -(WEIGHTS * y * F.logsigmoid(o) + (1 - y) * F.logsigmoid(-o)).mean(1),
    ),
    "divergence, batchmean": (
        nn.KLDivLoss(reduction="batchmean"),
        "probabilities",
        lambda o, y: (y * (y.log() - o)).sum(1),
    ),
    "function, mean": (F.cross_entropy, "labels", nll),
    "function, sum": (partial(F.cross_entropy, reduction="sum"), "labels", nll),
    "function, of each": (partial(F.cross_entropy, reduction="none"), "labels", nll),
    "own mean": (
        lambda o, y: ((o - y) ** 4).mean(),
        "values",
        lambda o, y: ((o - y) ** 4).mean(1),
    ),
    "with control flow": (
        lambda o, y: (o - y).abs().mean() if float(o.sum()) == float(o.sum()) else o.sum(),
        "values",
        lambda o, y: (o - y).abs().mean(1),
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_mean_and_variance(name: str) -> None:
    loss, kind, losses = LOSSES[name]
    model, x, targets = _network()
    y = targets[kind]
    expected = gradients_one_by_one(model, x, y, losses)
    found = gradient_statistics(model, (x, y), loss, batch_size=4)
    whole = loss(model(x.double()), y).mean()
    own = torch.autograd.grad(whole, list(model.parameters()))
    scale = N if getattr(loss, "reduction", "") == "sum" or name == "function, sum" else 1
    assert found.n == N
    assert found.loss == pytest.approx(whole.item() / scale, rel=1e-10)
    for (key, gradients), exact in zip(expected.items(), own, strict=True):
        torch.testing.assert_close(found.mean[key], exact / scale, rtol=1e-8, atol=1e-12)
        torch.testing.assert_close(found.mean[key], gradients.mean(0), rtol=1e-8, atol=1e-12)
        variance = gradients.var(0, correction=0)
        torch.testing.assert_close(found.variance[key], variance, rtol=1e-8, atol=1e-13)


@pytest.mark.parametrize("weight", [None, WEIGHTS])
def test_targets_that_do_not_count_are_no_samples(weight: Tensor | None) -> None:
    model, x, targets = _network()
    y = targets["with_ignored"]
    loss = nn.CrossEntropyLoss(weight=weight)
    found = gradient_statistics(model, (x, y), loss, batch_size=4)
    expected = gradient_statistics(model, (x[y != -100], y[y != -100]), loss)
    assert found.n == expected.n == N - 3
    own = torch.autograd.grad(loss(model(x.double()), y), list(model.parameters()))
    for (key, mean), exact in zip(found.mean.items(), own, strict=True):
        torch.testing.assert_close(mean, exact, rtol=1e-8, atol=1e-12)
        torch.testing.assert_close(found.variance[key], expected.variance[key])


def test_tokens_that_are_left_out_weigh_their_sentences() -> None:
    """A mean over the tokens of all sentences weighs a sentence by its number of tokens."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 9)).double()

    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inside = model

        def forward(self, tokens: Tensor) -> Tensor:
            return self.inside(tokens).transpose(1, 2)

    x = torch.randint(0, 9, (8, 5))
    y = torch.randint(0, 9, (8, 5)).where(torch.arange(5) < (1 + torch.arange(8) % 5)[:, None], -1)
    loss, net = nn.CrossEntropyLoss(ignore_index=-1), Tagger()
    found = gradient_statistics(net, (x, y), loss, batch_size=3)

    def losses(outputs: Tensor, y: Tensor) -> Tensor:
        values = F.cross_entropy(outputs, y, ignore_index=-1, reduction="none")
        return weighted(values.sum(1), (y != -1).sum(1).double())

    for key, gradients in gradients_one_by_one(net, x, y, losses).items():
        torch.testing.assert_close(found.variance[key], gradients.var(0, correction=0))
    own = torch.autograd.grad(loss(net(x), y), list(net.parameters()))
    for mean, exact in zip(found.mean.values(), own, strict=True):
        torch.testing.assert_close(mean, exact)


def test_a_loss_that_computes_in_float32_alone_is_taken() -> None:
    model, x, targets = _network()
    y = targets["values"].float()
    strict = lambda o, y: (o @ torch.eye(CLASSES) - y).square().mean()  # noqa: E731
    found = gradient_statistics(model.float(), (x, y), strict)
    expected = gradient_statistics(model, (x, y), nn.MSELoss())
    torch.testing.assert_close(found.mean["0.weight"], expected.mean["0.weight"])


def test_samples_that_do_not_count_may_come_first() -> None:
    model, x, targets = _network()
    y = targets["labels"].where(torch.arange(N) > 4, -100)
    found = gradient_statistics(model, (x, y), batch_size=3)
    expected = gradient_statistics(model, (x[5:], y[5:]))
    torch.testing.assert_close(found.variance["0.weight"], expected.variance["0.weight"])


def test_the_loss_of_the_user_is_left_as_it_is() -> None:
    model, x, targets = _network()
    loss = nn.CrossEntropyLoss(weight=WEIGHTS.float())
    gradient_statistics(model, (x, targets["labels"]), loss)
    assert (loss.reduction, loss.weight.dtype) == ("mean", torch.float32)


class Penalized(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, outputs: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(outputs, y) + self.model[0].weight.square().sum()


class _Normalized(nn.Module):
    reduction = "mean"

    def forward(self, outputs: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(outputs - outputs.mean(0), y)


# name: (loss of the model, kind of targets, what is said)
REFUSED: dict[str, tuple[Callable[[nn.Module], object], str, str]] = {
    "across samples": (lambda _: _Normalized(), "labels", "it is no mean or sum over samples"),
    "a function of the mean": (
        lambda _: lambda o, y: F.mse_loss(o, y).sqrt(),
        "values",
        "it is no mean or sum over samples",
    ),
    "weights in a function": (
        lambda _: partial(F.cross_entropy, weight=WEIGHTS),
        "labels",
        "for weights of classes or targets to leave out torch.nn.CrossEntropyLoss",
    ),
    "values without reduction": (
        lambda _: nn.MSELoss(reduction="none"),
        "values",
        "says not whether a sample's loss is their sum or their mean",
    ),
    "penalty": (Penalized, "labels", "depends on the network's parameters beside its outputs"),
    "a class": (lambda _: nn.CrossEntropyLoss, "labels", "the class CrossEntropyLoss"),
    "a name": (lambda _: "cross_entropy", "labels", "loss: this is 'cross_entropy'"),
    "no tensor": (lambda _: lambda o, y: 3.0, "labels", "it returns float"),
    "a matrix": (lambda _: lambda o, y: o, "labels", r"a tensor of shape \(3, 4\)"),
    "wrong targets": (
        lambda _: nn.MSELoss(),
        "labels",
        "it fails on outputs of shape|no mean or sum",
    ),
    "three arguments": (
        lambda _: lambda o, y, z: o.sum(),
        "labels",
        r"called as loss\(outputs, targets\)",
    ),
    "random": (
        lambda _: lambda o, y: F.cross_entropy(o, y) * torch.rand(()),
        "labels",
        "no mean or sum",
    ),
    "not finite": (lambda _: lambda o, y: (o - 1e9).sqrt().mean(), "values", "is not finite"),
}


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_per_sample_gradients_is_refused(name: str) -> None:
    make, kind, said = REFUSED[name]
    model, x, targets = _network()
    with pytest.raises(GsnrError, match=said) as error:
        gradient_statistics(model, (x, targets[kind]), make(model))  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


@pytest.mark.filterwarnings("ignore:Using a target size")
def test_targets_that_are_broadcast_over_the_batch_are_refused() -> None:
    model = nn.Linear(5, 1)
    with pytest.raises(GsnrError, match=r"shape \(3, 1\) and targets of shape \(3,\)"):
        gradient_statistics(model, (torch.randn(9, 5), torch.randn(9)), nn.MSELoss())


def test_weights_hidden_in_the_first_samples_are_found_later() -> None:
    """The first samples are of one class, where a weighted mean looks like a plain one."""
    model, x, _ = _network()
    y = torch.cat([torch.zeros(6), torch.arange(N - 6) % CLASSES]).long()
    loss = partial(F.cross_entropy, weight=WEIGHTS)
    with pytest.raises(GsnrError, match="no mean or sum over samples"):
        gradient_statistics(model, (x, y), loss)


def test_weights_are_found_in_data_that_are_sorted_by_class() -> None:
    model, x, targets = _network()
    order = targets["labels"].argsort()
    loss, labels = partial(F.cross_entropy, weight=WEIGHTS), targets["labels"][order]
    batches = [(x[order][labels == c], labels[labels == c]) for c in range(CLASSES)]
    with pytest.raises(GsnrError, match="no mean or sum over samples"):
        gradient_statistics(model, batches, loss)
