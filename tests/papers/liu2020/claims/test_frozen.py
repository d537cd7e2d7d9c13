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
    words["regression"] = "of a linear regression"
    found = judge(make_analysis(*runs, figures=["frozen"]))
    return {key: c for c in found for key, word in words.items() if word in c.text}


def seeds(highest: Sequence[float], last: float = 0.5, **settings: Any) -> list[RunRecord]:
    """A run a seed, by its highest GSNR over the first."""
    return [run(1.0, top, last, seed=seed, **settings) for seed, top in enumerate(highest)]


ALL, NONE = (1.38, 1.4, 1.39), (0.9, 0.8, 0.7)


@pytest.mark.parametrize(
    ("highest", "verdict"),
    [
        (ALL, HOLDS),
        ((1.2, 1.3, 1.4), UNCLEAR),
        ((1.1, 1.15, 1.12), FAILS),
        (NONE, FAILS),
        (ALL[:2], UNCLEAR),
    ],
)
def test_gsnr_rises_with_the_first_layer_trained(highest: Sequence[float], verdict: str) -> None:
    found = claims(*seeds(highest), *seeds(NONE, frozen=["fc1"]))["rises"]
    assert found.verdict == verdict
    assert ", ".join(f"{max(top, 1):.2f}" for top in highest) in found.evidence


@pytest.mark.parametrize(
    ("highest", "verdict"),
    [(NONE, HOLDS), ((1.1, 1.1, 1.1), HOLDS), ((1.2, 1.3, 1.1), UNCLEAR), (ALL, FAILS)],
)
def test_gsnr_stays_low_with_the_first_layer_frozen(highest: Sequence[float], verdict: str) -> None:
    found = claims(*seeds(ALL), *seeds(highest, frozen=["fc1"]))
    assert found["low"].verdict == verdict


def test_what_ends_as_high_as_it_began_has_not_decreased() -> None:
    frozen = seeds(NONE, last=1.01, frozen=["fc1"])
    assert claims(*seeds(ALL), *frozen)["low"].verdict == FAILS


@pytest.mark.parametrize(
    ("errors", "verdict"),
    [
        ((1e-6, 6e-5, 1e-6), HOLDS),
        ((1e-6, 1.1e-4, 1e-6), FAILS),
        ((1e-6, 1e-6, 2e-4), FAILS),
        ((0.5, 0.5, 0.5), FAILS),
    ],
)
def test_frozen_runs_follow_the_closed_form(errors: Sequence[float], verdict: str) -> None:
    """Judged where they are furthest from it; each seed alike."""
    frozen = seeds(NONE, frozen=["fc1"])
    for one in frozen:
        for measured in one.measurements:
            for name, error in zip(("loss", "gradient", "gsnr"), errors, strict=True):
                value = error if measured.epoch == 10 else 1e-9
                measured.metrics[f"linear_regression_{name}_error"] = value
    found = claims(*seeds(ALL), *frozen)["regression"]
    assert found.verdict == verdict
    assert found.seeds == 3


def test_without_a_closed_form_nothing_is_told_of_it() -> None:
    found = claims(*seeds(ALL), *seeds(NONE, frozen=["fc1"]))["regression"]
    assert found.verdict == UNCLEAR
    assert "linear_regression_loss_error was not measured" in found.evidence


def test_runs_are_compared_with_their_own_start() -> None:
    """The mean over the runs does not rise."""
    runs = [run(1.0, 1.3, 0.1, seed=s) if s else run(10.0, 13.0, 0.1) for s in range(5)]
    assert claims(*runs)["rises"].verdict == HOLDS


def test_without_frozen_runs_only_the_trained_ones_are_judged() -> None:
    assert set(claims(*seeds(ALL))) == {"rises", "features"}


def test_without_trained_runs_only_the_frozen_ones_are_judged() -> None:
    """All runs have the same frozen layer: it does not vary, and still is frozen."""
    found = claims(*seeds(NONE, frozen=["fc1"]))
    assert set(found) == {"low", "regression"}
    assert found["low"].verdict == HOLDS


def test_initial_weights_are_judged_apart() -> None:
    analysis = make_analysis(
        *seeds(ALL, init="small"), *seeds(NONE, init="torch"), figures=["frozen"]
    )
    found = {c.text[:24]: c.verdict for c in judge(analysis) if "rises" in c.text}
    assert found == {"Initial weights 'small':": HOLDS, "Initial weights 'torch':": FAILS}


def thrice(features: list[Feature]) -> list[RunRecord]:
    """Three runs with the same features."""
    return [run(1.0, 2.0, 1.0, features=features, seed=seed) for seed in range(3)]


@pytest.mark.parametrize(("learned", "verdict"), [(5, HOLDS), (3, HOLDS), (2, FAILS), (0, FAILS)])
def test_features_are_closer_to_the_target(learned: int, verdict: str) -> None:
    features = [LEARNED] * learned + [NOT_LEARNED] * (5 - learned)
    found = claims(*thrice(features))["features"]
    assert found.verdict == verdict
    assert found.evidence.startswith(f"{3 * learned} of 15 features")


def test_half_of_the_features_is_not_enough() -> None:
    found = claims(*thrice([LEARNED, LEARNED, NOT_LEARNED, NOT_LEARNED]))["features"]
    assert found.verdict == UNCLEAR


def test_only_features_of_largest_gsnr_count() -> None:
    small: Feature = ((0.01, 0.05, 0.02), NOT_LEARNED[1])
    found = claims(*thrice([small] * 9 + [LEARNED] * 5))["features"]
    assert found.verdict == HOLDS
    assert "15 of 15 features" in found.evidence


def test_features_whose_gsnr_is_largest_at_the_start_tell_nothing() -> None:
    found = claims(*thrice([FROM_THE_START] * 5))["features"]
    assert found.verdict == UNCLEAR
    assert claims(*thrice([LEARNED] * 4 + [FROM_THE_START]))["features"].verdict == HOLDS


def test_features_of_frozen_runs_do_not_count() -> None:
    frozen = run(1.0, 0.9, 0.8, features=[NOT_LEARNED] * 5, frozen=["fc1"])
    found = claims(*thrice([LEARNED] * 5), frozen)["features"]
    assert found.verdict == HOLDS
    assert found.evidence.startswith("15 of 15 ")


def test_without_features_nothing_is_told_of_them() -> None:
    assert claims(run(1.0, 2.0, 1.0))["features"].verdict == UNCLEAR


def test_features_that_were_dead_at_the_start_are_no_counterexample() -> None:
    """Their output was constant: no correlation with y, as far from it as can be."""
    dead: Feature = ((None, 0.5, 0.2), (None, 0.6, 0.0))
    found = claims(run(1.0, 2.0, 1.0, features=[dead] * 5))["features"]
    assert found.verdict != FAILS
    assert "nan" not in found.evidence


def test_of_a_single_seed_nothing_is_told() -> None:
    found = claims(run(1.0, 2.0, 1.0, features=[LEARNED] * 5), *seeds(NONE[:1], frozen=["fc1"]))
    for claim in found.values():
        assert claim.verdict == UNCLEAR
        assert claim.evidence.startswith(("Not enough", "linear_regression_loss_error was not"))
