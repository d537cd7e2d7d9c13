"""Claims about the assumptions behind eq. (19): when they hold, fail and cannot be told."""

import pytest

from gsnr_sweep.papers import FAILS, HOLDS, UNCLEAR, judge
from gsnr_sweep.records.record import RunRecord
from tests.papers.liu2020.claims.repeated import over_seeds
from tests.tables import make_analysis, make_run

EPOCHS = (0, 10, 20)
FINE = {
    "own_over_fresh_sq_norm": (1.02, 0.8, 0.5),
    "own_over_fresh_variance": (0.97, 0.9, 0.8),
    "between_over_within_variance": (1.0, 0.95, 0.92),
    "taylor_ratio": (0.93, 1.0, 1.0),
    "taylor_ratio_test": (0.95, 1.0, 1.02),
    "osgr_lhs": (0.8, 0.7, 0.6),
    "osgr_lhs_of_sets": (0.81, 0.7, 0.57),
    "osgr_rhs": (0.8, 0.6, 0.3),
    "osgr_rhs_of_sets": (0.8, 0.62, 0.28),
    "osgr_rhs_weighted": (0.8, 0.6, 0.3),
}
PLACES = ("same distribution", "no longer holds", "(g_D) = ρ²/n", "of the training loss")
PLACES += ("of the test loss", "ratio of expectations", "Eq. (22)")


def verdicts(*runs: RunRecord, seeds: int = 3) -> dict[str, str]:
    analysis = make_analysis(*over_seeds(*runs, seeds=seeds), figures=["assumptions"])
    found = judge(analysis)
    return {place: c.verdict for place, c in zip(PLACES, found, strict=True) if place in c.text}


def run(**curves: tuple[float, ...]) -> RunRecord:
    return make_run({**FINE, **curves}, epochs=EPOCHS, n_sets=10)


def test_all_hold_where_2_3_1_breaks_and_the_rest_does_not() -> None:
    assert verdicts(run()) == dict.fromkeys(PLACES, HOLDS)


@pytest.mark.parametrize(
    ("place", "column", "values"),
    [
        (PLACES[0], "own_over_fresh_sq_norm", (0.89, 0.8, 0.5)),
        (PLACES[0], "own_over_fresh_variance", (1.11, 0.8, 0.5)),
        (PLACES[1], "own_over_fresh_sq_norm", (1.0, 0.5, 0.91)),  # the last epoch counts
        (PLACES[2], "between_over_within_variance", (1.0, 1.11, 1.0)),  # any epoch
        (PLACES[3], "taylor_ratio", (0.89, 1.0, 1.0)),
        (PLACES[4], "taylor_ratio_test", (1.0, 1.0, 1.11)),
        (PLACES[5], "osgr_lhs_of_sets", (0.8, 0.7, 0.66)),
        (PLACES[5], "osgr_rhs_of_sets", (0.8, 0.6, 0.24)),
        (PLACES[6], "osgr_rhs_weighted", (0.8, 0.6, 0.30001)),
    ],
)
def test_each_fails_alone(place: str, column: str, values: tuple[float, ...]) -> None:
    found = verdicts(run(**{column: values}))
    assert found.pop(place) == FAILS
    assert set(found.values()) == {HOLDS}


def test_what_was_not_measured_cannot_be_told() -> None:
    bare = make_run({"osgr_lhs": 0.5, "osgr_rhs": 0.5}, epochs=EPOCHS)
    assert set(verdicts(bare).values()) == {UNCLEAR}
    assert set(verdicts(run(), seeds=2).values()) == {UNCLEAR}


def test_runs_of_a_seed_are_averaged_before_they_are_judged() -> None:
    high, low = run(taylor_ratio=(1.15, 1.0, 1.0)), run(taylor_ratio=(0.9, 1.0, 1.0))
    low.config["ch"] = 8
    assert verdicts(high, low)[PLACES[3]] == HOLDS
