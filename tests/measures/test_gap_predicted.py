"""Eq. (19) summed over training, against sums by hand and real courses."""

import copy
import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from gsnr_sweep.measures import load_measures, measure_all, requirements_of
from gsnr_sweep.measures.gap_predicted import gap_predicted
from gsnr_sweep.measures.gsnr_early import gsnr_early
from gsnr_sweep.measures.undefined import reason_of
from gsnr_sweep.training.ensemble import Ensemble
from tests.measures.networks import CPU, config_of, mlp, sets_of
from tests.measures.snapshots import LR, snapshot

GRADIENTS = np.random.default_rng(0).normal(0.3, 1, (3, 8, 5))
FUNCTIONS = {
    name: f"gsnr_sweep.measures.{path}"
    for name, path in {
        "losses": "losses.losses",
        "osgr_lhs": "osgr_lhs.osgr_lhs",
        "osgr_rhs": "osgr_rhs.osgr_rhs",
        "osgr_own_lhs": "osgr_own.osgr_own_lhs",
        "osgr_own_rhs": "osgr_own.osgr_own_rhs",
        "gsnr": "gsnr.gsnr",
        "fresh_sets": "fresh_sets.fresh_sets",
        "gap_predicted": "gap_predicted.gap_predicted",
        "gsnr_early": "gsnr_early.gsnr_early",
    }.items()
}


@dataclass
class Before:
    epoch: float
    metrics: dict[str, float]
    step: int | None = None


def course_of(*overrides: str, **about: Any) -> list[dict[str, Any]]:
    """What a small training measures, epoch by epoch, as a run goes on."""
    cfg = config_of("n=8", "n_sets=4", "n_test=200", *overrides)
    measures = load_measures(FUNCTIONS)
    model = copy.deepcopy(mlp())
    ensemble = Ensemble(model, sets_of(cfg), "classification", cfg.training, CPU)
    earlier: list[Before] = []
    found = []
    for each in ensemble.run(wanted=requirements_of(measures)):
        values = measure_all(measures, replace(each, earlier=tuple(earlier), **about))
        finite = {k: v for k, v in values.items() if isinstance(v, float) and math.isfinite(v)}
        earlier.append(Before(each.epoch, finite, each.step))
        found.append(values | {"epoch": each.epoch, "step": each.step})
    return found


def test_sums_by_hand() -> None:
    earlier = (
        Before(0, {"train_loss": 3.0, "osgr_rhs": 0.9, "osgr_lhs": 0.8, "gap_rate_noise": 0.1}),
        Before(1, {"train_loss": 2.0, "osgr_rhs": 0.7, "osgr_lhs": 0.5, "gap_rate_noise": 0.2}),
    )
    rates = torch.tensor([[LR]] * 3, dtype=torch.float64)
    now = snapshot(GRADIENTS, earlier=earlier, preconditioner=rates, step=3)
    values = gap_predicted(now)
    loss = float(now.train_loss.mean())
    g, square = GRADIENTS.mean(1), (GRADIENTS**2).mean(1)
    noise = ((square - g**2) / 8).sum(1)
    rhs = 1 - noise.sum() / (g**2).sum()
    train = (now.train_loss_next - now.train_loss).sum()
    lhs = float((now.test_loss_next - now.test_loss).sum() / train)
    assert values["gap_predicted_rhs"] == pytest.approx(
        1.0 * (1 - 0.8) + (2 - loss) * (1 - (0.7 + rhs) / 2)
    )
    assert values["gap_predicted_lhs"] == pytest.approx(
        1.0 * (1 - 0.65) + (2 - loss) * (1 - (0.5 + lhs) / 2)
    )
    rate = LR * noise.mean()
    assert values["gap_rate_noise"] == pytest.approx(rate)
    assert values["gap_predicted_noise"] == pytest.approx(0.15 + 2 * (0.2 + rate) / 2)
    assert "gap_predicted_fresh" not in values


def test_the_sum_of_left_sides_is_the_gaps_growth() -> None:
    """Every step measured, and small ones: the trapezoids' error is of the step's size."""
    course = course_of("epochs=60", "measure_at=every:1", "lr=0.02")
    growth = course[-1]["gen_gap"] - course[0]["gen_gap"]
    assert growth > 0.05
    assert course[-1]["gap_predicted_lhs"] == pytest.approx(growth, rel=0.01)


def test_fresh_sets_predict_their_own_gap() -> None:
    """The sum over fresh sets is the growth of the other sets' loss over the own one's."""
    course = course_of("epochs=60", "measure_at=every:1", "lr=0.02")
    assert course[0]["own_over_fresh_sq_norm"] == pytest.approx(1, abs=0.3)
    assert course[-1]["own_over_fresh_sq_norm"] < course[0]["own_over_fresh_sq_norm"]
    by_hand = sum(
        (a["train_loss"] - b["train_loss"]) * (1 - (a["osgr_fresh"] + b["osgr_fresh"]) / 2)
        for a, b in pairwise(course)
    )
    assert course[-1]["gap_predicted_fresh"] == pytest.approx(by_hand)


def test_mini_batches_sum_the_rules_own_sides() -> None:
    course = course_of(
        *("optim=sgd", "optim.batch_size=4", "epochs=20", "measure_at=every:1", "lr=0.05"),
    )
    names = ("gap_predicted_rhs", "gap_predicted_lhs", "gap_predicted_noise")
    sides = ("osgr_own_rhs", "osgr_own_lhs_epoch")
    for name, side in zip(names, sides, strict=False):
        by_hand = sum(
            (a["train_loss"] - b["train_loss"]) * (1 - (a[side] + b[side]) / 2)
            for a, b in pairwise(course)
        )
        assert course[-1][name] == pytest.approx(by_hand)
    rate = [one["gap_rate_noise"] for one in course]
    by_steps = sum(2 * (a + b) / 2 for a, b in pairwise(rate))  # two steps an epoch
    assert course[-1]["gap_predicted_noise"] == pytest.approx(by_steps)


def test_a_rule_whose_first_step_is_not_known() -> None:
    course = course_of(
        *("optim=adam", "optim.batch_size=4", "epochs=3", "measure_at=every:1", "lr=0.01"),
    )
    assert "is not known" in reason_of(course[0]["gap_rate_noise"])
    assert "epoch 0 is needed" in reason_of(course[-1]["gap_predicted_noise"])
    assert math.isfinite(course[-1]["gap_predicted_rhs"])  # gradient descent's stands in at first


def test_a_course_that_does_not_begin_at_the_start() -> None:
    late = (Before(5, {"train_loss": 1.0, "osgr_rhs": 0.5, "osgr_lhs": 0.5}),)
    values = gap_predicted(snapshot(GRADIENTS, earlier=late, step=9))
    for name in ("gap_predicted_rhs", "gap_predicted_lhs"):
        assert "let measure_at begin at 0" in reason_of(values[name])


def test_early_gsnr_by_hand() -> None:
    earlier = tuple(Before(t, {"gsnr_mean": v}) for t, v in ((0, 1.0), (2, 3.0), (4, 5.0), (30, 9)))
    values = gsnr_early(snapshot(GRADIENTS, earlier=earlier, epoch=40))
    assert values["gsnr_early_mean"] == pytest.approx((2 * 2 + 2 * 4) / 4)
    none = gsnr_early(snapshot(GRADIENTS, earlier=earlier[3:], epoch=40))
    assert "not measured in the first tenth" in reason_of(none["gsnr_early_mean"])
    one = gsnr_early(snapshot(GRADIENTS, earlier=earlier[:1], epoch=5))
    assert one["gsnr_early_mean"] == 1
