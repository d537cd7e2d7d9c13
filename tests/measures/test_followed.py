"""Values of parameters that are followed one by one, and distributions over all of them."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gsnr_sweep.gradients.parameters import Parameter
from gsnr_sweep.measures.gsnr import gsnr
from gsnr_sweep.measures.p_same_sign import BINS, p_same_sign
from gsnr_sweep.records.record import Measurement, RunRecord
from tests.measures.snapshots import snapshot

FOLLOWED = (Parameter("second.weight", 2, 6, (2, 2)), Parameter("first.bias", 1, 2, (1,)))
HALF_DEAD, DEAD = 3, 5  # of the parameters 0..6


@pytest.fixture
def gradients() -> np.ndarray:
    """[M = 3, n = 7, P = 7]; one parameter is dead in one replica, one in all of them."""
    made = np.random.default_rng(4).normal(0.5, 1.0, (3, 7, 7))
    made[1, :, HALF_DEAD] = 0
    made[:, :, DEAD] = 0
    made[0, :3, 2] = 0  # three samples without a sign
    return made


def _mean_over_living(gradients: np.ndarray, j: int, of: Any) -> float:
    living = [of(rows[:, j]) for rows in gradients if rows[:, j].any()]
    return sum(living) / len(living) if living else math.nan


def _ratio(values: np.ndarray) -> float:
    mean = sum(values) / len(values)
    return float(mean**2 / (sum((v - mean) ** 2 for v in values) / len(values)))


def _majority(values: np.ndarray) -> float:
    positive, negative = sum(v > 0 for v in values), sum(v < 0 for v in values)
    return float(max(positive, negative) / (positive + negative))


@pytest.mark.parametrize(
    ("measure", "name", "of"), [(gsnr, "gsnr", _ratio), (p_same_sign, "p_same_sign", _majority)]
)
def test_each_followed_parameter_is_averaged_over_the_replicas_where_it_lives(
    gradients: np.ndarray, measure: Any, name: str, of: Any
) -> None:
    found = measure(snapshot(gradients, followed=FOLLOWED))
    for parameter in FOLLOWED:
        places = range(parameter.start, parameter.stop)
        expected = [_mean_over_living(gradients, j, of) for j in places]
        assert found[f"{name}/{parameter.name}"] == pytest.approx(expected, rel=1e-9, nan_ok=True)
    assert math.isnan(found[f"{name}/second.weight"][DEAD - 2])
    assert not math.isnan(found[f"{name}/second.weight"][HALF_DEAD - 2])


def test_the_mean_over_the_followed_counts_every_living_one_once(gradients: np.ndarray) -> None:
    found = gsnr(snapshot(gradients, followed=FOLLOWED))
    ratios = [_ratio(rows[:, j]) for rows in gradients for j in range(1, 6) if rows[:, j].any()]
    assert len(ratios) == 3 * 5 - 1 - 3
    assert found["gsnr_followed_mean"] == pytest.approx(sum(ratios) / len(ratios), rel=1e-9)


def test_nothing_followed_adds_nothing(gradients: np.ndarray) -> None:
    without, followed = (gsnr(snapshot(gradients, followed=f)) for f in ((), FOLLOWED))
    assert all(isinstance(value, float) for value in without.values())
    assert without == {name: followed[name] for name in without}


def test_only_dead_parameters_followed() -> None:
    dead = snapshot(np.zeros((2, 5, 7)), followed=FOLLOWED)
    assert math.isnan(gsnr(dead)["gsnr_followed_mean"])
    assert all(map(math.isnan, gsnr(dead)["gsnr/second.weight"]))
    assert all(map(math.isnan, p_same_sign(dead)["p_same_sign_density"]))


def test_a_dead_parameter_is_none_in_the_record(gradients: np.ndarray, tmp_path: Path) -> None:
    found = gsnr(snapshot(gradients, followed=FOLLOWED))
    measurement = Measurement.from_values(3, found)
    assert measurement.arrays["gsnr/second.weight"][DEAD - 2] is None
    assert measurement.arrays["gsnr/second.weight"][:2] == found["gsnr/second.weight"][:2]
    assert measurement.arrays.keys() == {"gsnr/second.weight", "gsnr/first.bias"}
    assert measurement.nonfinite == []
    assert measurement.metrics.keys() == found.keys() - measurement.arrays.keys()
    record = RunRecord("run", {}, "0" * 16, {}, measurements=[measurement])
    path = record.write(tmp_path)
    assert RunRecord.read(path) == record
    json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} in the file"))


def test_shares_of_each_layer(gradients: np.ndarray) -> None:
    found = p_same_sign(snapshot(gradients))
    for name, places in (("first", range(2)), ("second", range(2, 7))):
        shares = [_majority(rows[:, j]) for rows in gradients for j in places if rows[:, j].any()]
        assert found[f"p_same_sign/{name}"] == pytest.approx(sum(shares) / len(shares))


def test_the_distribution_of_shares(gradients: np.ndarray) -> None:
    found = p_same_sign(snapshot(gradients))["p_same_sign_density"]
    shares = [_majority(rows[:, j]) for rows in gradients for j in range(7) if rows[:, j].any()]
    counts, _ = np.histogram(shares, bins=BINS, range=(0.5, 1.0))
    assert found == pytest.approx(list(counts / len(shares)), abs=1e-12)


def test_the_ends_of_the_distribution() -> None:
    values = np.zeros((1, 4, 3))
    values[0, :, 0] = [1, 1, -1, -1]  # half and half
    values[0, :, 1] = [-1, -1, -2, 0]  # all of one sign
    found = p_same_sign(snapshot(values))["p_same_sign_density"]
    assert found == [0.5] + [0.0] * (BINS - 2) + [0.5]
