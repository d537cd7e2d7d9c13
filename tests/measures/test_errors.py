"""Training and test error, and when the first of them was zero."""

import math

import numpy as np
import pytest
import torch

from gsnr_sweep.measures.errors import errors
from gsnr_sweep.measures.undefined import reason_of
from gsnr_sweep.training.milestones import ZERO_ERROR
from tests.measures.snapshots import snapshot

GRADIENTS = np.ones((3, 4, 5))


def _measured(train: list[float], steps: list[float] | None) -> dict[str, float]:
    made = {
        "train_accuracy": torch.tensor(train, dtype=torch.float64),
        "test_accuracy": torch.tensor([0.5, 0.6, 0.7], dtype=torch.float64),
        "milestones": {} if steps is None else {ZERO_ERROR: torch.tensor(steps).double()},
    }
    return errors(snapshot(GRADIENTS, **made))


def test_shares_of_misclassified_samples() -> None:
    values = _measured([1.0, 0.5, 0.75], [math.nan, 3, 9])
    assert values["train_error"] == pytest.approx(0.25)
    assert values["test_error"] == pytest.approx(0.4)
    assert values["gen_error"] == pytest.approx(0.15)
    assert reason_of(values["steps_to_zero_error"]) == "the training error has not been zero"


def test_steps_are_the_mean_over_the_replicas() -> None:
    values = _measured([1.0, 1.0, 1.0], [3, 12, 9])
    assert values["train_error"] == 0
    assert values["steps_to_zero_error"] == 8


def test_given_weights_tell_nothing_of_their_training() -> None:
    values = _measured([1.0, 1.0, 1.0], None)
    assert reason_of(values["steps_to_zero_error"]) == "the training was not followed"
