"""Measures of the user's own, tried before a launch."""

import math
import re
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.measures import requires
from gsnr_sweep.measures.requires import require
from gsnr_sweep.preflight import measure_check
from gsnr_sweep.preflight.check import check
from gsnr_sweep.training.replica import Replica
from gsnr_sweep.training.snapshot import Snapshot
from tests.conftest import TINY, expanded

SMALL = ("data=toy", "ch=5")


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    """Nothing is remembered of earlier trials."""
    fresh()


def fresh() -> None:
    measure_check._outcome_of.cache_clear()


def passes(name: str, *more: str, called: str = "noise") -> None:
    check(expanded(*TINY, *SMALL, *more, named(name, called)).points)


def named(name: str, called: str = "noise") -> str:
    return f"+measures.functions.{called}={__name__}.{name}"


def told(name: str, *more: str) -> str:
    """What is said of a measure that cannot be used, without the name of it."""
    with pytest.raises(GsnrError) as refusal:
        passes(name, *more)
    said = str(refusal.value)
    start = f"measures.functions.noise={__name__}.{name}: "
    assert said.startswith(start)
    assert "\n" not in said
    return re.sub(r", test_measure_check.py line \d+", "", said.removeprefix(start))


# --- what it is tried on


seen: list[Snapshot] = []


def looks(snapshot: Snapshot) -> dict[str, Any]:
    seen.append(snapshot)
    return {"mine": 1.0, "all": snapshot.train_loss.tolist()}


@requires(weights=True, gradient_change=True, signs=True)
def wants_all(snapshot: Snapshot) -> dict[str, float]:
    return {"wanted": float(looks(snapshot)["mine"])}


def the_one(name: str, *more: str) -> Snapshot:
    fresh()
    seen.clear()
    passes(name, *more)
    (snapshot,) = seen
    return snapshot


def test_it_sees_a_measured_step_of_the_runs_own_network() -> None:
    found = the_one("wants_all", "lr=0.5", "measures.variance=unbiased")
    assert (found.epoch, found.lr, found.variance) == (1, 0.5, "unbiased")
    assert list(found.layers) == ["fc1", "fc2"]
    weights = 2 * 5 + 5 + 5 + 1
    assert found.gradient.shape == (2, weights)
    assert found.is_finite
    # Two replicas of one origin and of different sets, a step apart from where they began.
    assert found.weights is not None
    assert found.step_gradient is not None
    assert found.next_gradient is not None
    assert 0 < float((found.weights[0] - found.weights[1]).abs().max()) < 1
    assert not torch.equal(found.step_gradient, found.next_gradient)
    assert (found.positive is not None, len(found.test_loss_change) > 1) == (True, True)


def test_what_nobody_asked_for_is_not_there() -> None:
    found = the_one("looks")
    assert (found.weights, found.step_gradient, found.next_gradient) == (None, None, None)
    assert found.positive is not None  # another measure asks for it


def test_followed_parameters_are_there() -> None:
    found = the_one("looks", "measures.parameters=[fc2]")
    assert [parameter.name for parameter in found.followed] == ["fc2.weight", "fc2.bias"]


def test_a_small_network_stands_in_for_a_large_one() -> None:
    found = the_one(
        "looks", "data=digits", "model=mlp", "ch=3000", "measures.parameters=[fc2.bias]"
    )
    assert found.gradient.shape[1] == 784 * 4 + 4 + 4 * 10 + 10
    assert found.followed == ()
    assert the_one("looks", "data=digits", "model=table2_cnn", "ch=6").gradient.shape[1] == 40_081


def test_classifications_have_accuracies() -> None:
    assert the_one("looks").train_accuracy.isnan().all()
    accuracy = the_one("looks", "data=digits", "model=mlp").train_accuracy
    assert ((accuracy >= 0) & (accuracy <= 1)).all()


def test_each_is_tried_once_for_a_kind_of_data() -> None:
    seen.clear()
    grid = expanded(
        *TINY, "-m", "data=toy,digits", "model=mlp", "ch=3,4", "lr=0.1,1", named("looks")
    )
    for _ in range(2):  # a launcher checks again
        assert len(check(grid.points)) == 8
    assert len(seen) == 2


def test_measures_of_the_package_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("tried")

    monkeypatch.setattr(measure_check, "_outcome_of", never)
    check(expanded(*TINY, *SMALL).points)


# --- probes


class Probed:
    replicas: ClassVar[list[Replica]] = []


def probe(replica: Replica, followed: object) -> float:
    Probed.replicas.append(replica)
    return max(float(replica.model(x).abs().max()) for x, _ in replica.batches())


def broken_probe(replica: Any, followed: object) -> float:
    return float(replica.modl)


def undefined_probe(replica: Any, followed: object) -> float:
    return 1 / 0


@requires(probe=probe)
def with_probe(snapshot: Snapshot) -> dict[str, float]:
    return {"largest": max(snapshot.probed["with_probe"])}


@requires(probe=broken_probe)
def with_broken_probe(snapshot: Snapshot) -> dict[str, float]:
    return {"largest": max(snapshot.probed["with_broken_probe"])}


@requires(probe=undefined_probe)
def with_undefined_probe(snapshot: Snapshot) -> dict[str, float]:
    return {"largest": max(snapshot.probed["with_undefined_probe"])}


def test_probes_are_tried_too() -> None:
    Probed.replicas.clear()
    passes("with_probe")
    assert len(Probed.replicas) == 2
    said = told("with_broken_probe")
    assert said == (
        "it fails on a tiny training (AttributeError: 'Replica' object has no attribute 'modl')."
    )
    passes("with_undefined_probe")


# --- what is wrong


def text(snapshot: Snapshot) -> Any:
    return {"acc": "0.5"}


def nothing(snapshot: Snapshot) -> None:
    pass


def numbered(snapshot: Snapshot) -> Any:
    return {1: 0.5}


def a_tensor(snapshot: Snapshot) -> Any:
    return {"acc": snapshot.test_accuracy}


def typo(snapshot: Any) -> Any:
    return {"mine": snapshot.grdient}


def two_lines(snapshot: Snapshot) -> Any:
    raise KeyError("first\nsecond")


def wrong_arguments() -> Any:
    return {}


def speaks(snapshot: Snapshot) -> Any:
    raise GsnrError("it needs images")


def unmarked(snapshot: Snapshot) -> Any:
    return {"mine": float(require(snapshot.weights).norm())}


def unmarked_itself(snapshot: Any) -> Any:
    return {"mine": float(snapshot.weights.norm())}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "text",
            "metric 'acc' is of type str; a float, an int, or a list of floats is needed.",
        ),
        ("nothing", "it returned None; a dictionary of values by metric name is needed, such as"),
        ("numbered", "the metric name 1 is of type int; a text is needed."),
        ("a_tensor", "metric 'acc' is of type Tensor and of shape (2,); a float, an int, or a"),
        (
            "typo",
            "it fails on a tiny training (AttributeError: 'Snapshot' object has no attribute "
            "'grdient'",
        ),
        ("two_lines", "it fails on a tiny training (KeyError: 'first\\nsecond')."),
        ("wrong_arguments", "it fails on a tiny training (TypeError: wrong_arguments() takes 0"),
        ("speaks", "it fails on a tiny training (it needs images)."),
        (
            "unmarked",
            "it fails on a tiny training (NotRequiredError: the snapshot does not hold this: mark",
        ),
        (
            "unmarked_itself",
            "it fails on a tiny training (AttributeError: 'NoneType' object has no attribute "
            "'norm'; what costs extra time is None unless it is asked for by "
            "@requires(weights=True) or @requires(gradient_change=True)).",
        ),
    ],
)
def test_a_wrong_measure_is_refused_in_one_paragraph(name: str, words: str) -> None:
    assert told(name).startswith(words)


def takes_a_metric(snapshot: Snapshot) -> Any:
    return {"train_loss": 1.0}


def also_mine(snapshot: Snapshot) -> Any:
    return {"mine": 2.0}


def test_a_metric_belongs_to_one_measure() -> None:
    losses = "measures.functions.losses=gsnr_sweep.measures.losses.losses"
    assert told("takes_a_metric") == f"metric 'train_loss' is one of {losses} too. Rename it."
    with pytest.raises(GsnrError) as refusal:
        passes("looks", named("also_mine", "twin"))
    assert str(refusal.value) == (
        f"{named('looks')[1:]}: metric 'mine' is one of {named('also_mine', 'twin')[1:]} too. "
        "Rename it."
    )


def test_the_grid_point_is_named() -> None:
    with pytest.raises(GsnrError, match=r"\(grid point n=20 and 1 more of 2\)$"):
        check(expanded(*TINY, *SMALL, "-m", "n=20,30", named("text")).points)


# --- what may be due to so few samples


def not_a_number(snapshot: Snapshot) -> Any:
    return {"mine": math.nan, "list": [math.inf], "tensor": torch.tensor(math.nan)}


def divides(snapshot: Snapshot) -> Any:
    return {"mine": 1 / 0}


def of_no_log(snapshot: Snapshot) -> Any:
    return {"mine": math.log(-1)}


def the_hundredth(snapshot: Snapshot) -> Any:
    return {"mine": float(snapshot.test_loss_change[1000])}


def the_largest_hundred(snapshot: Snapshot) -> Any:
    return {"mine": float(snapshot.test_loss_change.topk(1000).values.sum())}


def singular(snapshot: Snapshot) -> Any:
    torch.linalg.inv(torch.zeros(2, 2))


def singular_numpy(snapshot: Snapshot) -> Any:
    np.linalg.inv(np.zeros((2, 2)))


def warns(snapshot: Snapshot) -> Any:
    return {"mine": np.float64(1) / np.float64(0)}


@pytest.mark.parametrize(
    "name",
    [
        *("not_a_number", "divides", "of_no_log", "the_hundredth", "the_largest_hundred"),
        *("singular", "singular_numpy"),
    ],
)
def test_a_failure_that_few_samples_may_explain_is_no_reason_to_refuse(name: str) -> None:
    passes(name)


def test_nothing_is_warned_of(recwarn: pytest.WarningsRecorder) -> None:
    passes("warns")
    assert [str(warning.message) for warning in recwarn if "divide" in str(warning.message)] == []


def of_a_layer(snapshot: Snapshot) -> Any:
    return {"mine": float(snapshot.gradient[:, snapshot.layers["conv1"]].mean())}


LARGE = ("data=digits", "model=table2_cnn", "ch=40")


@pytest.mark.parametrize("name", ["of_a_layer", "speaks"])
def test_a_stand_in_may_lack_what_the_network_has(name: str) -> None:
    passes(name, *LARGE)


@pytest.mark.parametrize("name", ["typo", "wrong_arguments", "unmarked", "text", "nothing"])
def test_a_stand_in_shows_what_is_wrong_with_any_network(name: str) -> None:
    told(name, *LARGE)


def test_a_trial_that_cannot_be_made_refuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no kernels for eight samples")

    monkeypatch.setattr(measure_check, "Ensemble", broken)
    passes("typo")


# --- whatever it raises or returns


def raises(error: BaseException) -> Any:
    def measure(snapshot: Snapshot) -> Any:
        raise error

    return measure


stops, interrupts, leaves, closes, recurses, runs_out = map(
    raises,
    [
        *(StopIteration(), KeyboardInterrupt(), SystemExit(0), GeneratorExit()),
        *(RecursionError("too deep"), MemoryError()),
    ],
)


def returns(value: Any) -> Any:
    return lambda snapshot: value


yields = returns(one for one in "ab")
lists = returns([0.5])
nests = returns({"mine": {"deeper": 1.0}})
generates = returns({"mine": (one for one in "ab")})
is_complex = returns({"mine": 1j})
numpy_complex = returns({"mine": np.complex128(1 + 1j)})
is_huge = returns({"mine": 10**400})
lists_huge = returns({"mine": [0.5, -(10**400)]})
has_none = returns({"mine": None})
with_gradient = returns({"mine": torch.ones((), requires_grad=True)})


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("stops", "it fails on a tiny training (StopIteration)."),
        ("interrupts", "it fails on a tiny training (KeyboardInterrupt)."),
        ("leaves", "it fails on a tiny training (it asks to leave Python: SystemExit 0)."),
        ("closes", "it fails on a tiny training (GeneratorExit)."),
        ("recurses", "it fails on a tiny training (RecursionError: too deep)."),
        ("runs_out", "it fails on a tiny training (MemoryError)."),
        ("yields", "it returned a value of type generator; a dictionary"),
        ("lists", "it returned a value of type list; a dictionary"),
        ("nests", "metric 'mine' is of type dict; a float, an int"),
        ("generates", "metric 'mine' is of type generator; a float, an int"),
        ("is_complex", "metric 'mine' is of type complex; a float, an int"),
        ("numpy_complex", "metric 'mine' is of type complex128 and of shape (); a float, an int"),
        ("is_huge", "metric 'mine' is a whole number beyond the largest float; a float"),
        ("lists_huge", "metric 'mine' is a list whose item 1 is a whole number beyond the largest"),
        ("has_none", "metric 'mine' is of type NoneType; a float, an int"),
    ],
)
def test_whatever_it_raises_or_returns(name: str, words: str) -> None:
    assert told(name).startswith(words)


def test_a_number_may_be_a_tensor_with_a_gradient() -> None:
    passes("with_gradient")


# --- what it must leave as it is


def sets_dtype(snapshot: Snapshot) -> Any:
    torch.set_default_dtype(torch.float64)
    return {"mine": 1.0}


def sets_grad(snapshot: Snapshot) -> Any:
    torch.set_grad_enabled(not torch.is_grad_enabled())
    return {"mine": 1.0}


def clears(snapshot: Snapshot) -> Any:
    snapshot.gradient_sum.zero_()
    return {"mine": 1.0}


@requires(probe=lambda replica, _: [p.data.zero_() for p in replica.model.parameters()])
def zeroes(snapshot: Snapshot) -> Any:
    return {"mine": 1.0}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("sets_dtype", "it changes the default dtype to torch.float64 for the whole process"),
        ("sets_grad", "it changes whether gradients are recorded for the whole process"),
        ("clears", "it changes the snapshot's gradient_sum, which other measures read."),
        ("zeroes", "it fails on a tiny training (its probe changes the replica's weights)."),
    ],
)
def test_what_it_must_leave_as_it_is(name: str, words: str) -> None:
    assert told(name).startswith(words)
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()


def test_what_is_doubtful_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure_check, "_SLOW_S", -1.0)
    (point,) = check(expanded(*TINY, *SMALL, named("not_a_number")).points)
    where = named("not_a_number")[1:]
    undefined, slow = point.doubts
    assert undefined == (
        f"{where}: on a tiny training mine, list, tensor is not finite; a run notes such values "
        "and leaves them out of tables"
    )
    assert re.fullmatch(rf"{re.escape(where)}: it takes \d+ s on a tiny training", slow)
