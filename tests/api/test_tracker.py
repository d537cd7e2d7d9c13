"""`GSNRTracker` in a plain loop."""

import inspect
import logging
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gsnr_sweep import GSNRTracker, gradient_statistics, osgr
from gsnr_sweep.api import measuring
from gsnr_sweep.api.functions import Options
from gsnr_sweep.errors import GsnrError
from tests.api.networks import case


def test_it_measures_every_so_many_steps_and_logs() -> None:
    torch.manual_seed(0)
    model, x, y = case("mlp")
    logged: list[tuple[int, dict[str, float]]] = []
    tracker = GSNRTracker(
        model, (x, y), every=2, log=lambda values, step: logged.append((step, values)), batch_size=5
    )
    tracker.measure()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    measured = []
    for _ in range(5):
        optimizer.zero_grad()
        F.cross_entropy(model.eval()(x.double()), y).backward()
        optimizer.step()
        found = tracker.step()
        measured.append(found is not None)
        if found is not None:
            expected = gradient_statistics(model, (x, y)).variance["0.weight"]
            torch.testing.assert_close(found.variance["0.weight"], expected)
    assert measured == [False, True, False, True, False]
    assert (
        [step for step, _ in logged] == [values["step"] for values in tracker.history] == [0, 2, 4]
    )
    table = tracker.to_dataframe()
    assert table["train_loss"].is_monotonic_decreasing
    assert table["osgr_rhs"].tolist() == [values["osgr_rhs"] for _, values in logged]


@pytest.mark.parametrize("name", ["mlp", "cnn", "lstm"])
def test_a_network_is_tried_once_and_again_if_it_changes(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is measured later is what a first measurement gives, bit for bit."""
    tried = []
    choose = measuring.choose_method

    def noted(*arguments: Any) -> Any:
        tried.append(arguments)
        return choose(*arguments)

    monkeypatch.setattr(measuring, "choose_method", noted)
    model, x, y = case(name)
    tracker = GSNRTracker(model, (x, y))
    for _ in range(3):
        found = tracker.measure()
        before = len(tried)
        expected = gradient_statistics(model, (x, y))
        del tried[before:]
        for parameter, variance in expected.variance.items():
            assert torch.equal(found.variance[parameter], variance)
        with torch.no_grad():
            for p in model.parameters():
                p.add_(0.1)
    assert len(tried) == 1
    next(model.parameters()).requires_grad_(False)
    tracker.measure()
    assert len(tried) == 2


def test_a_loss_that_is_another_one_is_tried() -> None:
    model, x, _ = case("mlp")
    found = [
        measuring._form(model, x, loss)
        for loss in (nn.CrossEntropyLoss(), nn.CrossEntropyLoss(), F.cross_entropy)
    ]
    assert len(set(map(repr, found))) == 2
    assert found[0] != found[1] != found[2]


def test_why_it_is_slow_is_said_the_first_time_only(caplog: pytest.LogCaptureFixture) -> None:
    model, x, y = case("lstm")
    tracker = GSNRTracker(model, (x, y))
    with caplog.at_level(logging.INFO):
        tracker.step()
        tracker.step()
    assert len(caplog.records) == 1


@pytest.mark.parametrize("every", [0, -1, 1.5, True])
def test_every_is_a_positive_whole_number(every: Any) -> None:
    with pytest.raises(GsnrError, match=r"every=.*: a positive whole number of steps"):
        GSNRTracker(nn.Linear(1, 1), [], every=every)


def test_an_argument_that_there_is_not() -> None:
    with pytest.raises(
        GsnrError, match=r"batchsize: .* no such argument\. Did you mean batch_size"
    ):
        GSNRTracker(nn.Linear(1, 1), [], batchsize=3)  # type: ignore[call-arg]


def test_all_arguments_are_those_of_both_functions() -> None:
    """What a tracker passes on is what `gradient_statistics` and `osgr` take, defaults included."""
    taken = [
        {
            name: argument.default
            for name, argument in inspect.signature(function).parameters.items()
            if argument.kind is inspect.Parameter.KEYWORD_ONLY
        }
        for function in (gradient_statistics, osgr)
    ]
    assert taken[0] == taken[1]
    assert taken[0].keys() == Options.__annotations__.keys()
