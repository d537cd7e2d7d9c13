"""Claims about both sides of eq. (19): when they hold, fail and cannot be told."""

import numpy as np
import pytest

from gsnr_sweep.papers import FAILS, HOLDS, UNCLEAR, Claim
from gsnr_sweep.papers.liu2020.claims.lhs_rhs import WITH_BATCH_NORM, lhs_rhs_claims
from gsnr_sweep.records.record import RunRecord
from tests.tables import make_analysis, make_run

NOISE = np.random.default_rng(5).normal(size=200).round(3).tolist()


def run(
    seed: int,
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
    return make_run(curves, epochs=epochs, **{"seed": seed, "n_sets": 10} | settings)


def claims(*runs: RunRecord, experiment: str = "fig4_mnist") -> dict[str, Claim]:
    found = lhs_rhs_claims(make_analysis(*runs, experiment=experiment))
    keys = ("leave", "diagonal", "correlated", "converged", "falls", "data")
    words = ("leave LHS", "lie on LHS", "strongly", "converges", "falls below", "more data")
    return {k: c for c in found for k, word in zip(keys, words, strict=True) if word in c.text}


def away(distance: float, se: float = 0.0, seeds: int = 3, late: bool = False) -> list[RunRecord]:
    """Runs of which every point is as far from the diagonal, to one side or the other."""
    runs = []
    for seed in range(seeds):
        for i in range(4):
            lhs, off = 0.5 + 0.02 * i, distance * (-1) ** i
            runs.append(run(seed, (lhs, lhs), (0.0 if late else off, off), se=se, ch=6 + i))
    return runs


@pytest.mark.parametrize(
    ("distance", "se", "seeds", "verdict"),
    [
        (0.0, 0.0, 3, HOLDS),
        (0.099, 0.0, 3, HOLDS),
        (0.101, 0.0, 3, FAILS),
        (0.15, 0.12, 3, HOLDS),  # √(0.15² − 0.12²) = 0.09
        (0.15, 0.11, 3, FAILS),
        (0.0, 0.0, 2, UNCLEAR),
    ],
)
def test_points_on_the_diagonal_at_the_beginning(
    distance: float, se: float, seeds: int, verdict: str
) -> None:
    found = claims(*away(distance, se, seeds))["diagonal"]
    assert found.verdict == verdict
    if se == 0 and seeds == 3:
        assert f"epoch 0: distance {distance:.3f}" in found.evidence


def test_one_seed_off_the_diagonal_leaves_it_open() -> None:
    runs = [*away(0.0, seeds=2), run(2, (0.5, 0.5), (0.2, 0.2))]
    assert claims(*runs)["diagonal"].verdict == UNCLEAR


def test_only_the_first_epoch_counts_for_the_diagonal() -> None:
    assert claims(*away(0.5, late=True))["diagonal"].verdict == HOLDS


def test_without_standard_errors_the_diagonal_cannot_be_told() -> None:
    found = claims(*away(0.0, se=float("nan")))["diagonal"]
    assert found.verdict == UNCLEAR
    assert "No point has a standard error" in found.evidence


@pytest.mark.parametrize(("distance", "verdict"), [(0.101, HOLDS), (0.5, HOLDS), (0.099, FAILS)])
def test_points_leave_the_diagonal_with_batch_normalization(distance: float, verdict: str) -> None:
    found = claims(*away(distance, late=True), experiment=WITH_BATCH_NORM)
    assert "diagonal" not in found
    assert found["leave"].verdict == verdict
    assert found["leave"].evidence.startswith("epoch 20: ")


def test_nothing_has_left_the_diagonal_before_the_first_step() -> None:
    runs = [run(i, (0.5 + 0.02 * i,), (0.0,)) for i in range(20)]
    assert claims(*runs, experiment=WITH_BATCH_NORM)["leave"].verdict == UNCLEAR


def correlated(points: int, noise: float, late_noise: float, seeds: int = 3) -> list[RunRecord]:
    """Points of each seed along the diagonal, with noise of its own."""
    rng = np.random.default_rng(5)
    runs = []
    for seed in range(seeds):
        for i, x in enumerate(np.linspace(0.2, 0.9, points)):
            off, late = noise * rng.normal(), late_noise * rng.normal()
            runs.append(run(seed, (x, x), (off, late), ch=i, loss=(2.0, 0.1)))
    return runs


@pytest.mark.parametrize(
    ("points", "noise", "late", "verdict"),
    [
        (40, 0.01, 0.01, HOLDS),
        (40, 0.01, 9.0, FAILS),  # at one epoch is enough
        (40, 9.0, 0.01, HOLDS),  # the start does not count
        (40, 0.01, 0.2, UNCLEAR),  # the interval holds 0.7
        (3, 0.01, 0.01, UNCLEAR),  # no correlation at all
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
    found = claims(*correlated(40, 9.0, noise))["converged"]
    assert found.verdict == verdict
    assert "epoch 20: c = " in found.evidence


def test_the_correlation_is_the_mean_over_seeds_of_fishers_z() -> None:
    runs = correlated(10, 0.0, 0.1)
    z = []
    for seed in range(3):
        ends = [r.measurements[-1].metrics for r in runs if r.config["seed"] == seed]
        points = np.array([(m["osgr_rhs"], m["osgr_lhs"]) for m in ends])
        z.append(np.arctanh(np.corrcoef(points.T)[0, 1]))
    mean, half = np.mean(z), 4.302652729911275 * np.std(z, ddof=1) / 3**0.5
    told = [f"{np.tanh(value):.3f}" for value in (mean, mean - half, mean + half)]
    expected = f"epoch 20: c = {told[0]} [{told[1]}, {told[2]}]"
    assert expected in claims(*runs)["correlated"].evidence


@pytest.mark.parametrize(
    ("loss", "converged"),
    [
        ((2.0, 1.0, 0.19), True),  # a tenth
        ((2.0, 1.0, 0.5), False),  # still falling
        ((2.0, 1.0, 0.96), True),  # the last stretch is 0.04 of 1.04
        ((2.0, 1.0, 0.94), True),  # 0.00075 an epoch where the mean is 0.0106
        ((2.0, 1.0, 0.9), False),  # 0.00125 an epoch
        ((8.1, 7.87, 7.86), True),  # the targets' noise alone is 8: the rate tells
        ((2.31, 2.308, 2.30), False),  # it has hardly begun
        ((2.0, 2.0, 2.0), False),
        ((2.0, 3.0, 4.0), False),
        ((), False),
    ],
)
def test_when_training_has_converged(loss: tuple[float, ...], converged: bool) -> None:
    lhs = np.linspace(0.2, 0.9, 12)
    off = (0.0, 0.0, 0.0)
    runs = [run(i % 3, (x, x, x), off, loss=loss, ch=i) for i, x in enumerate(lhs)]
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
        ([0.1, 0.1], UNCLEAR),  # too few
    ],
)
def test_rhs_falls_below_lhs(growth: list[float], verdict: str) -> None:
    """It is the change that counts, not which one is larger at the start."""
    for start in (0.0, -0.5, 0.5):
        runs = [run(i, (0.5, 0.5), (start, start + g)) for i, g in enumerate(growth)]
        assert claims(*runs)["falls"].verdict == verdict


def test_a_seeds_runs_count_as_one() -> None:
    """Twenty runs of one seed grow alike, those of the other two do not."""
    growth = [0.1] * 20 + [-0.1, 0.0]
    seeds = [0] * 20 + [1, 2]
    runs = [
        run(seed, (0.5, 0.5), (0.0, g), ch=i)
        for i, (g, seed) in enumerate(zip(growth, seeds, strict=True))
    ]
    assert claims(*runs)["falls"].verdict == UNCLEAR
    alone = claims(*runs[:20])["falls"]
    assert alone.verdict == UNCLEAR
    assert alone.evidence.startswith("Not enough seeds: 1 of at least 3.")


def test_one_epoch_or_seeds_without_the_last_one_do_not_tell_whether_rhs_falls() -> None:
    assert claims(*[run(i, (0.5,), (0.1,)) for i in range(9)])["falls"].verdict == UNCLEAR
    short = [run(i, (0.5, 0.5), (0.0, 0.1)) for i in range(9)]
    assert claims(*short)["falls"].verdict == HOLDS
    longer = [run(i, (0.5, 0.5, 0.5), (0.0, 0.1, 0.2)) for i in range(2)]
    assert claims(*short, *longer)["falls"].verdict == UNCLEAR


@pytest.mark.parametrize(("slope", "verdict"), [(0.1, HOLDS), (-0.1, FAILS), (0.0, UNCLEAR)])
def test_more_data_brings_r_closer_to_one(slope: float, verdict: str) -> None:
    runs = [
        run(i % 4, (0.5, 0.5 + slope * (i // 4) + 0.01 * NOISE[i]), (0, 0), n=100 * (1 + i // 4))
        for i in range(12)
    ]
    found = claims(*runs)["data"]
    assert found.verdict == verdict
    assert "(n = 100)" in found.evidence


def test_more_data_is_asked_for_only_where_n_varies() -> None:
    assert "data" not in claims(*[run(i, (0.5,), (0.1,)) for i in range(9)])


def test_runs_that_do_not_compare_both_sides_are_not_asked() -> None:
    assert claims(make_run({"osgr_lhs": 0.5, "osgr_rhs": 0.5})) == {}
