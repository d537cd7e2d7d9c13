"""Claims of Fig. 4: they hold, fail and stay open where they must."""

import pytest

from gsnr_sweep.analysis.claim import FAILS, HOLDS, UNCLEAR
from gsnr_sweep.records.record import RunRecord
from tests.papers.neyshabur2017 import made_up
from tests.papers.neyshabur2017.claims.judging import claim, judged

ERROR, JOINT = ("test error falls",), ("joint PAC-Bayes",)
TURNS, FALLS, CAPACITY = (
    ("ℓ2 norm", "falls with the width, then rises"),
    ("spectral norm", "keeps falling"),
    ("capacity bound", "ℓ2-path norm"),
)
COLUMN = {
    ERROR: "test_error",
    JOINT: "log10_kl_at_sharpness",
    TURNS: "log10_l2_over_margin2",
    FALLS: "log10_spectral_over_margin2",
    CAPACITY: "log10_l2_path_over_margin2_capacity",
}
WIDTHS = (8, *made_up.WIDTHS)


def with_values(column: str, values: list[float], spread: float = 0.02) -> list[RunRecord]:
    """Networks without a training error with a metric given by width."""
    runs = made_up.widths()
    for run in runs:
        place = WIDTHS.index(run.config["ch"])
        metrics = run.measurements[-1].metrics
        metrics[column] = values[place] + made_up.offset(run.config["seed"], place, spread)
        metrics["train_error"] = 0.0
    return runs


def test_on_runs_like_those_of_a_small_perceptron() -> None:
    """The turn of the joint measure, 0.08 decades with seeds 0.02 apart, is not told from none."""
    verdicts = {c.text: c.verdict for c in judged("width", made_up.widths())}
    assert len(verdicts) == 9
    assert [text for text, verdict in verdicts.items() if verdict != HOLDS] == [
        "The joint PAC-Bayes measure, KL at expected sharpness 0.05, falls, then rises."
    ]
    assert FAILS not in verdicts.values()


V = [3, 2, 1, 0, 1, 2, 3, 4]
DOWN, UP, FLAT = [8, 7, 6, 5, 4, 3, 2, 1], [1, 2, 3, 4, 5, 6, 7, 8], [1] * 8


@pytest.mark.parametrize("words", [TURNS, JOINT])
@pytest.mark.parametrize(
    ("values", "spread", "verdict"),
    [
        (V, 0.02, HOLDS),
        ([-v for v in V], 0.02, FAILS),  # rises, then falls: lowest at the widest
        (UP, 0.02, FAILS),
        (DOWN, 0.02, FAILS),
        (FLAT, 0.02, UNCLEAR),
        (V, 3.0, UNCLEAR),
    ],
)
def test_falls_then_rises(words: tuple, values: list, spread: float, verdict: str) -> None:
    found = claim("width", with_values(COLUMN[words], values, spread), *words)
    assert found.verdict == verdict
    assert "lowest at " in found.evidence


def test_the_turning_point_is_named() -> None:
    found = claim("width", with_values(COLUMN[TURNS], V), *TURNS)
    assert f"lowest at {WIDTHS[3]} units" in found.evidence


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        (DOWN, HOLDS),
        (V, FAILS),  # rises in the second half
        (UP, FAILS),
        ([8, 7, 6, 5, 4, 4, 4, 4], UNCLEAR),  # no longer falls
    ],
)
def test_keeps_falling(values: list, verdict: str) -> None:
    assert claim("width", with_values(COLUMN[FALLS], values), *FALLS).verdict == verdict


@pytest.mark.parametrize(("values", "verdict"), [(V, HOLDS), (DOWN, FAILS), (FLAT, UNCLEAR)])
def test_with_capacity_factors_it_rises_late(values: list, verdict: str) -> None:
    assert claim("width", with_values(COLUMN[CAPACITY], values), *CAPACITY).verdict == verdict


@pytest.mark.parametrize(("values", "verdict"), [(DOWN, HOLDS), (UP, FAILS), (FLAT, UNCLEAR)])
def test_the_test_error_falls(values: list, verdict: str) -> None:
    assert claim("width", with_values("test_error", values), *ERROR).verdict == verdict


def test_the_test_error_is_that_of_all_networks_measures_of_those_without_error() -> None:
    runs = made_up.widths()
    assert claim("width", runs, *ERROR).runs == 24
    assert claim("width", runs, *TURNS).runs == 21


def test_a_width_that_a_seed_lacks_does_not_count() -> None:
    runs = [r for r in made_up.widths() if (r.config["ch"], r.config["seed"]) != (1024, 2)]
    assert claim("width", runs, *TURNS).runs == 18


@pytest.mark.parametrize("words", COLUMN)
@pytest.mark.parametrize("few", ["seed", "widths"])
def test_too_few_never_hold(words: tuple[str, ...], few: str) -> None:
    runs = {
        "seed": made_up.widths((0,)),
        "widths": [r for r in made_up.widths() if r.config["ch"] in (16, 1024)],
    }[few]
    assert claim("width", runs, *words).verdict == UNCLEAR
