"""Claims about feature learning, Fig. 6 and Table 1: when they hold, fail and cannot be told."""

from collections.abc import Sequence
from typing import Any

import pytest

from gsnr_sweep.papers import FAILS, HOLDS, UNCLEAR, Claim, judge
from gsnr_sweep.records.record import RunRecord
from tests.tables import make_analysis, make_run

EPOCHS = (0, 10, 20)
Feature = tuple[Sequence[float | None], Sequence[float | None]]
"""GSNR and correlation of a feature with y, by epoch."""
LEARNED: Feature = ((0.1, 0.5, 0.2), (0.1, -0.6, 0.0))
NOT_LEARNED: Feature = ((0.1, 0.5, 0.2), (0.6, -0.1, 0.9))
FROM_THE_START: Feature = ((0.9, 0.5, 0.2), (0.6, 0.7, 0.9))


def run(*gsnr: float, features: Sequence[Feature] = (), **settings: Any) -> RunRecord:
    return make_run(
        {"gsnr_followed_mean": gsnr, "train_loss": 1.0},
        epochs=EPOCHS[: len(gsnr)],
        arrays={
            "gsnr/fc2.weight": lambda e: [f[0][EPOCHS.index(e)] for f in features],
            "feature_target/fc2.weight": lambda e: [f[1][EPOCHS.index(e)] for f in features],
        }
        if features
        else None,
        **settings,
    )


def claims(*runs: RunRecord) -> dict[str, Claim]:
    words = {"rises": "rises significantly", "low": "remains low", "features": "are closer"}
    found = judge(make_analysis(*runs, figures=["frozen"]))
    return {key: c for c in found for key, word in words.items() if word in c.text}


def seeds(rising: int, of: int, last: float = 0.5, **settings: Any) -> list[RunRecord]:
    """Runs of which some reach exactly 1.25 times their start, the others fall short of it."""
    return [run(1.0, 1.25 if s < rising else 1.24, last, seed=s, **settings) for s in range(of)]


@pytest.mark.parametrize(
    ("rising", "verdict"),
    [(5, HOLDS), (4, HOLDS), (3, UNCLEAR), (2, UNCLEAR), (1, FAILS), (0, FAILS)],
)
def test_gsnr_rises_with_the_first_layer_trained(rising: int, verdict: str) -> None:
    found = claims(*seeds(rising, 5), *seeds(0, 5, frozen=["fc1"]))["rises"]
    assert found.verdict == verdict
    assert found.evidence.count("1.25,") + found.evidence.count("1.24") + (rising == 5) == 5


@pytest.mark.parametrize(
    ("rising", "verdict"), [(0, HOLDS), (1, HOLDS), (2, UNCLEAR), (4, FAILS), (5, FAILS)]
)
def test_gsnr_stays_low_with_the_first_layer_frozen(rising: int, verdict: str) -> None:
    found = claims(*seeds(5, 5), *seeds(rising, 5, frozen=["fc1"]))
    assert found["low"].verdict == verdict


def test_what_ends_as_high_as_it_began_has_not_decreased() -> None:
    frozen = seeds(0, 5, last=1.0, frozen=["fc1"])
    assert claims(*seeds(5, 5), *frozen)["low"].verdict == FAILS


def test_runs_are_compared_with_their_own_start() -> None:
    """The mean over the runs does not rise."""
    runs = [run(1.0, 1.3, 0.1, seed=s) if s else run(10.0, 13.0, 0.1) for s in range(5)]
    assert claims(*runs)["rises"].verdict == HOLDS


def test_without_frozen_runs_only_the_trained_ones_are_judged() -> None:
    assert set(claims(*seeds(5, 5))) == {"rises", "features"}


def test_without_trained_runs_only_the_frozen_ones_are_judged() -> None:
    """All runs have the same frozen layer: it does not vary, and still is frozen."""
    found = claims(*seeds(0, 5, frozen=["fc1"]))
    assert set(found) == {"low"}
    assert found["low"].verdict == HOLDS


def test_initial_weights_are_judged_apart() -> None:
    analysis = make_analysis(
        *seeds(5, 5, init="small"), *seeds(0, 5, init="torch"), figures=["frozen"]
    )
    found = {c.text[:24]: c.verdict for c in judge(analysis) if "rises" in c.text}
    assert found == {"Initial weights 'small':": HOLDS, "Initial weights 'torch':": FAILS}


def twice(features: list[Feature]) -> list[RunRecord]:
    """Two runs with the same features: of a single one nothing is told."""
    return [run(1.0, 2.0, 1.0, features=features, seed=seed) for seed in (0, 1)]


@pytest.mark.parametrize(
    ("learned", "verdict"), [(5, HOLDS), (4, HOLDS), (3, UNCLEAR), (2, FAILS), (0, FAILS)]
)
def test_features_are_closer_to_the_target(learned: int, verdict: str) -> None:
    features = [LEARNED] * learned + [NOT_LEARNED] * (5 - learned)
    found = claims(*twice(features))["features"]
    assert found.verdict == verdict
    assert found.evidence.startswith(f"{2 * learned} of 10 features")


def test_half_of_the_features_is_not_enough() -> None:
    runs = [
        run(1.0, 2.0, 1.0, features=[f] * 5, seed=s) for s, f in enumerate((LEARNED, NOT_LEARNED))
    ]
    assert claims(*runs)["features"].verdict == FAILS


def test_only_features_of_largest_gsnr_count() -> None:
    small: Feature = ((0.01, 0.05, 0.02), NOT_LEARNED[1])
    found = claims(*twice([small] * 9 + [LEARNED] * 5))["features"]
    assert found.verdict == HOLDS
    assert "10 of 10 features" in found.evidence


def test_features_whose_gsnr_is_largest_at_the_start_tell_nothing() -> None:
    found = claims(run(1.0, 2.0, 1.0, features=[LEARNED] * 4 + [FROM_THE_START] * 5))["features"]
    assert found.verdict == UNCLEAR
    both = [run(1.0, 2.0, 1.0, features=[LEARNED] * 4 + [FROM_THE_START], seed=s) for s in (0, 1)]
    assert claims(*both)["features"].verdict == HOLDS


def test_features_of_frozen_runs_do_not_count() -> None:
    frozen = run(1.0, 0.9, 0.8, features=[NOT_LEARNED] * 5, frozen=["fc1"])
    found = claims(*twice([LEARNED] * 5), frozen)["features"]
    assert found.verdict == HOLDS
    assert found.evidence.startswith("10 of 10 ")


def test_without_features_nothing_is_told_of_them() -> None:
    assert claims(run(1.0, 2.0, 1.0))["features"].verdict == UNCLEAR


def test_features_that_were_dead_at_the_start_are_no_counterexample() -> None:
    """Their output was constant: no correlation with y, as far from it as can be."""
    dead: Feature = ((None, 0.5, 0.2), (None, 0.6, 0.0))
    found = claims(run(1.0, 2.0, 1.0, features=[dead] * 5))["features"]
    assert found.verdict != FAILS
    assert "nan" not in found.evidence


@pytest.mark.parametrize("runs", [1, 4])
def test_few_runs_tell_nothing_of_shares_of_runs(runs: int) -> None:
    found = claims(*seeds(runs, runs), *seeds(0, runs, frozen=["fc1"]))
    for name in ("rises", "low"):
        assert found[name].verdict == UNCLEAR
        assert found[name].evidence.startswith(f"Not enough runs: {runs} of at least 5. ")


def test_features_of_a_single_run_tell_nothing() -> None:
    found = claims(run(1.0, 2.0, 1.0, features=[LEARNED] * 5))["features"]
    assert found.verdict == UNCLEAR
    assert found.evidence.startswith("Not enough runs: 1 of at least 2. 5 of 5 features")
