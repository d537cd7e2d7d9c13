"""Claims about both sides of eq. (19): when they hold, fail and cannot be told."""

import numpy as np
import pytest

from gsnr_sweep.papers import FAILS, HOLDS, UNCLEAR, Claim
from gsnr_sweep.papers.liu2020.claims.lhs_rhs import WITH_BATCH_NORM, lhs_rhs_claims
from gsnr_sweep.records.record import RunRecord
from tests.tables import make_analysis, make_run

NOISE = np.random.default_rng(5).normal(size=200).round(3).tolist()


def run(
    place: int,
    lhs: tuple[float, ...],
    diff: tuple[float, ...],
    se: float = 0.01,
    loss: tuple[float, ...] = (),
    **settings: int,
) -> RunRecord:
    epochs = (0, 20, 100)[: len(lhs)]
    rhs = [a - b for a, b in zip(lhs, diff, strict=True)]
    curves = {"osgr_lhs": lhs, "osgr_rhs": rhs, "osgr_diff": diff, "osgr_diff_se": se}
    if loss:
        curves["train_loss"] = loss
    return make_run(curves, epochs=epochs, **{"seed": place, "n_sets": 10} | settings)


def claims(*runs: RunRecord, experiment: str = "fig4_mnist") -> dict[str, Claim]:
    found = lhs_rhs_claims(make_analysis(*runs, experiment=experiment))
    keys = ("leave", "diagonal", "correlated", "converged", "falls", "data")
    words = ("leave LHS", "lie on LHS", "strongly", "converges", "falls below", "more data")
    return {k: c for c in found for k, word in zip(keys, words, strict=True) if word in c.text}


def away(inside: int, points: int, late: bool = False) -> list[RunRecord]:
    """Runs of which `inside` are within their error, 2.262 standard errors; the others beyond."""
    differences = [0.0226] * inside + [0.0227] * (points - inside)
    first = [0.0] * points if late else differences
    return [
        run(i, (0.5 + 0.02 * i, 0.5 + 0.02 * i), (a, b))
        for i, (a, b) in enumerate(zip(first, differences, strict=True))
    ]


@pytest.mark.parametrize(
    ("inside", "points", "verdict"),
    [
        *[(20, 20, HOLDS), (17, 20, HOLDS), (16, 20, UNCLEAR), (14, 20, UNCLEAR)],
        *[(13, 20, FAILS), (0, 20, FAILS), (4, 4, HOLDS), (0, 4, FAILS)],
        *[(3, 3, UNCLEAR), (0, 3, UNCLEAR), (1, 1, UNCLEAR)],
    ],
)
def test_points_on_the_diagonal_at_the_beginning(inside: int, points: int, verdict: str) -> None:
    found = claims(*away(inside, points))["diagonal"]
    assert found.verdict == verdict
    assert f"epoch 0: {inside} of {points} points within their error" in found.evidence


def test_only_the_first_epoch_counts_for_the_diagonal() -> None:
    assert claims(*away(0, 20, late=True))["diagonal"].verdict == HOLDS


def test_without_standard_errors_the_diagonal_cannot_be_told() -> None:
    runs = [run(i, (0.5, 0.5), (0.0, 0.0), se=float("nan")) for i in range(20)]
    assert claims(*runs)["diagonal"].verdict == UNCLEAR


@pytest.mark.parametrize(
    ("inside", "verdict"), [(13, HOLDS), (0, HOLDS), (14, UNCLEAR), (16, UNCLEAR), (17, FAILS)]
)
def test_points_leave_the_diagonal_with_batch_normalization(inside: int, verdict: str) -> None:
    found = claims(*away(inside, 20, late=True), experiment=WITH_BATCH_NORM)
    assert "diagonal" not in found
    assert found["leave"].verdict == verdict
    assert found["leave"].evidence.startswith("epoch 20: ")


def test_nothing_has_left_the_diagonal_before_the_first_step() -> None:
    runs = [run(i, (0.5 + 0.02 * i,), (0.0,)) for i in range(20)]
    assert claims(*runs, experiment=WITH_BATCH_NORM)["leave"].verdict == UNCLEAR


def correlated(points: int, noise: float, late_noise: float) -> list[RunRecord]:
    lhs = np.linspace(0.2, 0.9, points)
    return [
        run(i, (x, x), (noise * NOISE[i], late_noise * NOISE[i + 100])) for i, x in enumerate(lhs)
    ]


@pytest.mark.parametrize(
    ("points", "noise", "late", "verdict"),
    [
        (40, 0.01, 0.01, HOLDS),
        (40, 0.01, 9.0, FAILS),  # at one epoch is enough
        (40, 9.0, 0.01, HOLDS),  # the start does not count
        (5, 0.15, 0.3, UNCLEAR),  # too few points
        (40, 0.01, 0.2, UNCLEAR),  # the interval holds 0.7
        (3, 0.01, 0.01, UNCLEAR),  # no interval at all
    ],
)
def test_strong_correlation(points: int, noise: float, late: float, verdict: str) -> None:
    found = claims(*correlated(points, noise, late))["correlated"]
    assert found.verdict == verdict
    assert "epoch 0: c = " not in found.evidence
    assert ("epoch 20: c = " in found.evidence) == (points > 3)


@pytest.mark.parametrize(("noise", "verdict"), [(0.01, HOLDS), (9.0, FAILS), (0.2, UNCLEAR)])
def test_correlation_when_training_converges(noise: float, verdict: str) -> None:
    """Only the last epoch counts."""
    lhs = np.linspace(0.2, 0.9, 40)
    runs = [
        run(i, (x, x), (9 * NOISE[i], noise * NOISE[i + 100]), loss=(2.0, 0.1))
        for i, x in enumerate(lhs)
    ]
    found = claims(*runs)["converged"]
    assert found.verdict == verdict
    assert "epoch 20: c = " in found.evidence


@pytest.mark.parametrize(
    ("loss", "converged"),
    [
        ((2.0, 1.0, 0.19), True),  # a tenth
        ((2.0, 1.0, 0.5), False),  # still falling
        ((2.0, 1.0, 0.96), True),  # the last stretch is 0.04 of 1.04
        ((2.0, 1.0, 0.94), True),  # 0.00075 an epoch where the mean is 0.0106
        ((2.0, 1.0, 0.9), False),  # 0.00125 an epoch
        ((2.0, 1.61, 1.605), False),  # less than a fifth
        ((2.0, 2.0, 2.0), False),
        ((2.0, 3.0, 4.0), False),
        ((), False),
    ],
)
def test_when_training_has_converged(loss: tuple[float, ...], converged: bool) -> None:
    lhs = np.linspace(0.2, 0.9, 40)
    runs = [run(i, (x, x, x), (0.0, 0.0, 0.0), loss=loss) for i, x in enumerate(lhs)]
    found = claims(*runs)["converged"]
    assert (found.verdict == HOLDS) == converged
    assert found.evidence.startswith("Not converged") != converged


@pytest.mark.parametrize(
    ("growth", "verdict"),
    [
        ([0.1, 0.11, 0.12, 0.1, 0.09], HOLDS),
        ([-0.1, -0.11, -0.12, -0.1, -0.09], FAILS),
        ([0.1, -0.1, 0.1, -0.1, 0.02], UNCLEAR),
        ([0.0] * 5, UNCLEAR),
        ([0.125] * 5, HOLDS),
        ([0.1, 0.1, 0.1], UNCLEAR),  # too few
    ],
)
def test_rhs_falls_below_lhs(growth: list[float], verdict: str) -> None:
    """It is the change that counts, not which one is larger at the start."""
    for start in (0.0, -0.5, 0.5):
        runs = [run(i, (0.5, 0.5), (start, start + g)) for i, g in enumerate(growth)]
        assert claims(*runs)["falls"].verdict == verdict


def test_with_several_seeds_their_means_tell_whether_rhs_falls() -> None:
    """Twenty runs of one seed grow alike, those of the other two do not."""
    growth = [0.1] * 20 + [-0.1, 0.0]
    seeds = [0] * 20 + [1, 2]
    runs = [
        run(i, (0.5, 0.5), (0.0, g), seed=seed)
        for i, (g, seed) in enumerate(zip(growth, seeds, strict=True))
    ]
    found = claims(*runs)["falls"]
    assert found.verdict == UNCLEAR
    assert "over 3 seeds of 22 runs" in found.evidence
    alone = claims(*runs[:20])["falls"]
    assert alone.verdict == HOLDS
    assert "over 20 runs of one seed" in alone.evidence


def test_one_epoch_or_runs_without_the_last_one_do_not_tell_whether_rhs_falls() -> None:
    assert claims(*[run(i, (0.5,), (0.1,)) for i in range(9)])["falls"].verdict == UNCLEAR
    short = [run(i, (0.5, 0.5), (0.0, 0.1)) for i in range(9)]
    assert claims(*short)["falls"].verdict == HOLDS
    longer = [run(i, (0.5, 0.5, 0.5), (0.0, 0.1, 0.2)) for i in range(2)]
    assert claims(*short, *longer)["falls"].verdict == UNCLEAR


@pytest.mark.parametrize(("slope", "verdict"), [(0.1, HOLDS), (-0.1, FAILS), (0.0, UNCLEAR)])
def test_more_data_brings_r_closer_to_one(slope: float, verdict: str) -> None:
    runs = [
        run(i, (0.5, 0.5 + slope * (i // 4) + 0.01 * NOISE[i]), (0, 0), n=100 * (1 + i // 4))
        for i in range(12)
    ]
    found = claims(*runs)["data"]
    assert found.verdict == verdict
    assert "(n = 100)" in found.evidence


def test_more_data_is_asked_for_only_where_n_varies() -> None:
    assert "data" not in claims(*[run(i, (0.5,), (0.1,)) for i in range(9)])


def test_runs_that_do_not_compare_both_sides_are_not_asked() -> None:
    assert claims(make_run({"osgr_lhs": 0.5, "osgr_rhs": 0.5})) == {}
