"""Epochs to measure at: what the words name, and that they are the list they stand for."""

import math
from typing import Any

import pytest

from gsnr_sweep.config.identity import config_hash, run_identity, science_part
from gsnr_sweep.config.schedule import epochs_of, with_end
from gsnr_sweep.config.validation import problems
from gsnr_sweep.preflight.check import check
from tests.conftest import TINY, expanded, tiny_config, typed_config


@pytest.mark.parametrize(
    ("schedule", "epochs", "expected"),
    [
        ([20, 100], 100, [20, 100]),
        ((20, 100), 100, [20, 100]),
        ([5, 3, 3], 4, [5, 3, 3]),  # judged elsewhere
        ([], 4, []),
        ("every:4", 8, [0, 4, 8]),
        ("every:4", 10, [0, 4, 8, 10]),
        ("every:1", 3, [0, 1, 2, 3]),
        ("every:20", 10, [0, 10]),
        ("every:3", 0, [0]),
        ("log:5", 1000, [0, 1, 10, 100, 1000]),
        ("log:4", 100, [0, 1, 10, 100]),
        ("log:3", 100, [0, 1, 100]),
        ("log:6", 16, [0, 1, 2, 4, 8, 16]),
        ("log:100", 4, [0, 1, 2, 3, 4]),
        ("log:5", 1, [0, 1]),
        ("log:5", 0, [0]),
    ],
)
def test_what_schedules_name(schedule: Any, epochs: int, expected: list[int]) -> None:
    assert epochs_of(schedule, epochs) == expected


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (["step:0", "step:3", "step:4", "step:10", "end"], [0, 0.75, 1, 2.5, 6]),
        ("step:6", [1.5]),
        ("end", [6]),
        ([2, "end"], [2, 6]),
        (["step:9", 1], [2.25, 1]),
        ("every:3", [0, 3, 6]),
    ],
)
def test_steps_and_the_end(schedule: Any, expected: list[float]) -> None:
    """Of six epochs of four steps each."""
    found = epochs_of(schedule, 6, 4)
    assert found == expected
    assert [type(epoch) for epoch in found] == [type(epoch) for epoch in expected]


def test_the_end_of_a_training_that_may_stop_is_measured() -> None:
    assert with_end([0, 2], 6) == [0, 2, 6]
    assert with_end([6, 2], 6) == [6, 2]


@pytest.mark.parametrize(
    ("given", "expected"),
    [("[20,100,end]", [20, 100]), ("[step:20,end,step:3]", [20, 100, 3]), ("[100,end]", [100])],
)
def test_what_falls_together_is_measured_once(given: str, expected: list[float]) -> None:
    cfg = typed_config("epochs=100", f"measure_at={given}")
    assert problems(cfg) == []
    assert cfg.measured_epochs == expected


def test_an_epoch_that_is_listed_twice() -> None:
    for given in ("[5,3,3]", "[end,2,end]"):
        (problem,) = problems(typed_config("epochs=9", f"measure_at={given}"))
        assert problem.endswith("an epoch is listed twice.")


@pytest.mark.parametrize("n", [0, -3])
def test_steps_of_sets_of_no_size(n: int) -> None:
    found = problems(typed_config(f"n={n}", "optim=sgd", "measure_at=[step:5]"))
    assert any(problem.startswith(f"n={n}:") for problem in found)


@pytest.mark.parametrize("wrong", ["step:", "step:x", "step:-1", "step:1.5", "ends", "step:4 "])
def test_what_is_no_step(wrong: str) -> None:
    with pytest.raises(ValueError, match="is no epoch; give a list of epochs"):
        epochs_of([0, wrong], 6, 4)


def test_a_logarithmic_schedule_has_no_more_epochs_than_asked_for() -> None:
    assert epochs_of("log:2", 100) == [0, 100]
    with pytest.raises(ValueError, match="at least 2"):
        epochs_of("log:1", 100)


@pytest.mark.parametrize("epochs", [150, 2000, 3000])
@pytest.mark.parametrize("count", [12, 30, 60, 150])
def test_a_logarithmic_schedule_is_evenly_spaced(count: int, epochs: int) -> None:
    """Epoch 0, and from 1 to the last one in equal ratios, up to rounding to whole epochs."""
    found = epochs_of(f"log:{count}", epochs)
    assert len(found) <= count
    assert found == sorted(set(found))
    assert found[:2] == [0, 1]
    assert found[-1] == epochs
    step = math.log(epochs) / (count - 2)
    for k in range(count - 1):
        exact = math.exp(k * step)
        assert min(abs(epoch - exact) for epoch in found) <= 0.5 + 1e-9 * exact
    if len(found) == count:
        assert found[1:] == [round(math.exp(k * step)) for k in range(count - 1)]


@pytest.mark.parametrize(
    "schedule",
    ["every:0", "log:0", "every:-1", "log:1.5", "every:", "log", "every 2", "xevery:2", "log:3 ",
     "sometimes", "", 20, 2.5, None, True, {"every": 2}],
)  # fmt: skip
def test_what_is_no_schedule(schedule: Any) -> None:
    with pytest.raises(ValueError, match=r"give a list of epochs.*every:K, or log:K.*at least 1"):
        epochs_of(schedule, 100)


@pytest.mark.parametrize("wrong", [1.0, "1", True, None, [1]], ids=repr)
def test_what_is_no_epoch_of_a_list(wrong: Any) -> None:
    with pytest.raises(ValueError, match="is no epoch; give") as refusal:
        epochs_of([0, wrong], 100)
    assert str(refusal.value).startswith(f"{wrong!r} ")


# --- in a config


@pytest.mark.parametrize(
    ("words", "epochs", "listed"),
    [
        ("every:10", 30, "[0,10,20,30]"),
        ("every:10", 25, "[0,10,20,25]"),
        ("log:4", 100, "[0,1,10,100]"),
    ],
)
def test_words_are_the_list_they_stand_for(words: str, epochs: int, listed: str) -> None:
    cfg, same = (
        tiny_config(f"epochs={epochs}", f"measure_at={given}") for given in (words, listed)
    )
    assert problems(cfg) == []
    assert config_hash(cfg) == config_hash(same)
    assert run_identity(cfg) == run_identity(same)
    assert science_part(cfg) == science_part(same)
    other = tiny_config(f"epochs={epochs}", "measure_at=every:9")
    assert config_hash(cfg) != config_hash(other)


def test_a_sweep_over_epochs_gives_each_point_its_own_schedule() -> None:
    line = ["-m", *TINY, "data=toy", "model=mlp", "measure_at=every:4", "epochs=0,4,10"]
    points = check(expanded(*line).points)
    schedules = [epochs_of(point.cfg.measure_at, point.cfg.epochs) for point in points]
    assert schedules == [[0], [0, 4], [0, 4, 8, 10]]
    line[-1] = "epochs=10"
    (alone,) = check(expanded(*line).points)
    assert config_hash(points[2].cfg) == config_hash(alone.cfg)
    assert points[2].flops == alone.flops > points[1].flops


def test_a_sweep_over_schedules() -> None:
    line = ["-m", *TINY, "data=toy", "model=mlp", "epochs=6", "measure_at=every:3,log:3,[2]"]
    points = check(expanded(*line).points)
    schedules = [epochs_of(point.cfg.measure_at, point.cfg.epochs) for point in points]
    assert schedules == [[0, 3, 6], [0, 1, 6], [2]]


@pytest.mark.parametrize(
    ("epochs", "measured"),
    [(100, [20, 100]), (5000, [20, 100]), (50, [20, 50]), (20, [20]), (7, [7]), (0, [0])],
)
def test_the_usual_epochs_follow_a_shorter_training(epochs: int, measured: list[int]) -> None:
    """Of 100 epochs and more they are what they always were, and so are the runs' identities."""
    assert typed_config(f"epochs={epochs}").measure_at == measured
    assert epochs_of("auto", epochs) == measured


def test_a_schedule_that_is_given_is_taken_as_it_is() -> None:
    cfg = typed_config("epochs=50", "measure_at=[20,100]")
    assert cfg.measure_at == [20, 100]
    assert "[100] is outside 0..epochs=50" in problems(cfg)[0]


@pytest.mark.parametrize(("schedule", "epochs"), [("every:1", 10**9), ("log:1000000000", 5)])
def test_a_schedule_is_counted_before_it_is_made(schedule: str, epochs: int) -> None:
    with pytest.raises(ValueError, match="measurements, more than 100,000"):
        epochs_of(schedule, epochs)
