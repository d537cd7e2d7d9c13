"""The paper's own numbers: what is shipped, and that it says what the paper's figures show."""

import math
from itertools import pairwise
from typing import Any

import pytest

from gsnr_sweep.papers.neyshabur2017.complexity_measures import NORMS, over_margin
from gsnr_sweep.papers.neyshabur2017.paper_curves import paper_networks

# As the table of the paper's Fig. 1 has them, to two digits, at n = 5K and 50K.
FIG_1 = {
    "l2": {(5000, 0): 5.8e21, (5000, 1): 1.9e22, (50_000, 0): 4.6e22, (50_000, 1): 6.6e25},
    "l1_path": {(5000, 0): 3.3e26, (5000, 1): 3.5e27, (50_000, 0): 2.4e28, (50_000, 1): 2.3e30},
    "l2_path": {(5000, 0): 1.5, (5000, 1): 7.1, (50_000, 0): 13.9, (50_000, 1): 5060.0},
    "spectral": {(5000, 0): 7.5e6, (5000, 1): 3.0e8, (50_000, 0): 5.8e9, (50_000, 1): 5.5e12},
}


def level_crossing(kl: list[float], sharpness: list[float], level: float = 0.05) -> float:
    """KL at which a curve comes down to a level, from large sharpness on, in logarithms."""
    points = sorted(zip(kl, sharpness, strict=True))
    for (a, high), (b, low) in pairwise(points):
        if high >= level > low:
            share = math.log(high / level) / math.log(high / low)
            return 10 ** (a + share * (b - a))
    raise AssertionError("the curve does not cross the level")


@pytest.mark.parametrize("norm", NORMS)
def test_norms_are_those_of_fig_1(norm: str) -> None:
    frame = paper_networks("labels").frame
    assert len(frame) == 12
    values = frame.set_index(["n", "p_random"])[over_margin(norm)]
    for cell, value in FIG_1[norm].items():
        assert 10 ** values[cell] == pytest.approx(value, rel=0.04)


@pytest.mark.parametrize(("part", "curves"), [("labels", 8), ("confusion", 6), ("width", 4)])
def test_bi_criteria_curves_cross_the_level_at_their_kl(part: Any, curves: int) -> None:
    """The numbers beside the curves were interpolated of them: two readings must agree."""
    analysis = paper_networks(part)
    lists = analysis.arrays.groupby(["run_id", "array"])["value"].apply(list)
    known = analysis.frame.dropna(subset="log10_kl_at_sharpness")
    assert len(known) == curves
    for run_id, expected in zip(known["run_id"], known["log10_kl_at_sharpness"], strict=True):
        found = level_crossing(lists[run_id, "log10_kl"], lists[run_id, "expected_sharpness"])
        assert found == pytest.approx(10**expected, rel=0.06)


@pytest.mark.parametrize(("part", "setting"), [("confusion", "data.confusion"), ("width", "ch")])
def test_scaled_measures_run_from_0_to_1(part: Any, setting: str) -> None:
    frame = paper_networks(part).frame.sort_values(setting)
    for measure in (*NORMS, "sharpness"):
        values = frame[f"scaled_{measure}"].dropna()
        assert values.max() == 1
        assert values.min() == pytest.approx(0, abs=1e-9) or (measure, part) == (
            "spectral",
            "width",
        )
    assert frame["test_error"].between(0, 1).all()
    assert frame["train_error"].iloc[-1] == 0
