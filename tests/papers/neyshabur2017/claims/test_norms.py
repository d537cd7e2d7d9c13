"""Claims of Fig. 1: they hold, fail and stay open where they must."""

import pytest

from gsnr_sweep.analysis.claim import FAILS, HOLDS, UNCLEAR
from tests.papers.neyshabur2017 import made_up
from tests.papers.neyshabur2017.claims.judging import claim, judged

LARGER = ("ℓ2 norm", "larger with random")
GROWS = ("gap in the ℓ2 norm", "grows")
MOST = ("separate true from random",)
L2 = "log10_l2_over_margin2"
PLACE = {f"log10_{norm}_over_margin2": place for place, norm in enumerate(made_up.NORMS)}


def shifted(by: dict[tuple[float, int], float], column: str = L2, spread: float = 1.0) -> list:
    """Runs with a norm shifted by kind of labels and size; the seeds' offsets times `spread`."""
    runs = made_up.labels()
    for run in runs:
        cell = run.config["p_random"], run.config["n"]
        middle = made_up.LABELS[cell][PLACE[column]]
        metrics = run.measurements[-1].metrics
        metrics[column] = middle + spread * (metrics[column] - middle) + by.get(cell, 0.0)
    return runs


def test_all_hold_on_runs_like_those_of_a_small_perceptron() -> None:
    claims = judged("norms", made_up.labels())
    assert len(claims) == 10
    assert {c.verdict for c in claims} == {HOLDS}
    assert claim("norms", made_up.labels(), *LARGER).runs == 24


@pytest.mark.parametrize(
    ("by", "spread", "verdict"),
    [
        ({}, 1.0, HOLDS),
        ({(1.0, 1000): -1.0}, 1.0, FAILS),  # at one size is enough
        ({(1.0, 1000): -0.75}, 1.0, UNCLEAR),  # as large there
        ({}, 20.0, UNCLEAR),  # the seeds spread more than the labels
    ],
)
def test_larger_with_random_labels_at_every_size(by: dict, spread: float, verdict: str) -> None:
    found = claim("norms", shifted(by, spread=spread), *LARGER)
    assert found.verdict == verdict
    for n in made_up.SIZES:
        assert f"n = {n}: " in found.evidence
    assert "log10 of random over true labels" in found.evidence


@pytest.mark.parametrize(("last", "verdict"), [(0.0, HOLDS), (-0.73, UNCLEAR), (-1.2, FAILS)])
def test_the_gap_grows_with_n(last: float, verdict: str) -> None:
    """Of 0.73 decades from 500 to 4000; what lies between does not count."""
    found = claim("norms", shifted({(1.0, 4000): last, (1.0, 1000): 3.0}), *GROWS)
    assert found.verdict == verdict
    assert f"growth {0.73 + last:+.3g} [" in found.evidence or verdict == UNCLEAR


@pytest.mark.parametrize(
    ("column", "last", "verdict"),
    [
        (L2, 0.0, HOLDS),
        ("log10_l1_path_over_margin2", 0.5, FAILS),  # it grows most
        ("log10_spectral_over_margin2", 0.39, UNCLEAR),  # as l2-path does
        ("log10_l2_path_over_margin2", -0.3, FAILS),
    ],
)
def test_l2_and_l2_path_separate_most(column: str, last: float, verdict: str) -> None:
    spread = 3.0 if verdict == UNCLEAR else 1.0
    found = claim("norms", shifted({(1.0, 4000): last}, column, spread), *MOST)
    assert found.verdict == verdict
    assert "the lead of the two" in found.evidence


@pytest.mark.parametrize("words", [LARGER, GROWS, MOST])
@pytest.mark.parametrize(
    ("runs", "why"),
    [
        (made_up.labels((0,)), "Not enough runs: 8 of at least 12."),
        (made_up.labels((0, 1), sizes=(500,)), "Not enough runs"),
        (made_up.labels((0,), sizes=(500,)), "Not enough runs"),
        ([r for r in made_up.labels() if r.config["p_random"] == 0], "Not enough runs"),
    ],
    ids=["one seed", "one size", "one of both", "true labels only"],
)
def test_too_few_never_hold(words: tuple[str, ...], runs: list, why: str) -> None:
    found = claim("norms", runs, *words)
    assert found.verdict == UNCLEAR
    assert found.evidence.startswith(why) or words == MOST


def test_two_seeds_are_too_few_though_they_agree() -> None:
    two = claim("norms", made_up.labels((0, 1)), *LARGER)
    assert two.verdict == UNCLEAR
    assert two.evidence.startswith("Not enough seeds: 2 of at least 3.")


def test_networks_with_a_training_error_do_not_count() -> None:
    runs = shifted({(1.0, 1000): -1.0})
    assert claim("norms", runs, *LARGER).verdict == FAILS
    for run in runs:
        if run.config["n"] == 1000:
            run.measurements[-1].metrics["train_error"] = 0.001
    found = claim("norms", runs, *LARGER)
    assert (found.verdict, found.runs) == (HOLDS, 18)
