"""The statistics against formulas written out by hand, and what they say where undefined."""

import math

import numpy as np
import pandas as pd
import pytest

from gsnr_sweep.analysis.over_seeds import OverSeeds, mean_over_seeds
from gsnr_sweep.analysis.standard_errors import degrees_of_freedom
from gsnr_sweep.analysis.statistics import (
    ONE_SEED,
    Errors,
    difference_columns,
    pair_statistics,
    spearman_interval,
    statistics_by_epoch,
    statistics_table,
)

Z = 1.959963984540054
X = np.array([0.31, 0.52, 0.44, 0.83, 0.65, 0.90, 0.71, 0.12])
Y = np.array([0.35, 0.49, 0.55, 0.80, 0.60, 0.97, 0.62, 0.20])
CORRELATION = ("pearson", "spearman")
LINE = ("slope", "slope_se", "intercept", "intercept_se")
INTERVALS = ("pearson_low", "pearson_high", "spearman_low", "spearman_high")


def correlation(x, y):
    dx, dy = x - x.mean(), y - y.mean()
    return (dx * dy).sum() / math.sqrt((dx**2).sum() * (dy**2).sum())


def ranks(values):
    """Ranks from 1, ties sharing the mean of theirs."""
    return np.array([(values < v).sum() + ((values == v).sum() + 1) / 2 for v in values])


def undefined(statistics, names):
    return [name for name in names if math.isnan(getattr(statistics, name))]


def test_pearson_and_its_interval_follow_fishers_z():
    r = correlation(X, Y)
    half = Z / math.sqrt(len(X) - 3)
    got = pair_statistics(X, Y)
    assert got.points == 8
    assert got.pearson == pytest.approx(r, rel=1e-12)
    assert got.pearson_low == pytest.approx(math.tanh(math.atanh(r) - half), rel=1e-12)
    assert got.pearson_high == pytest.approx(math.tanh(math.atanh(r) + half), rel=1e-12)
    assert got.notes == ()


@pytest.mark.parametrize("y", [Y, np.round(Y, 1)], ids=["distinct", "ties"])
def test_spearman_is_the_correlation_of_the_ranks(y):
    rho = correlation(ranks(X), ranks(y))
    half = Z * math.sqrt((1 + rho**2 / 2) / (len(X) - 3))
    got = pair_statistics(X, y)
    assert got.spearman == pytest.approx(rho, rel=1e-12)
    assert got.spearman_low == pytest.approx(math.tanh(math.atanh(rho) - half), rel=1e-12)
    assert got.spearman_high == pytest.approx(math.tanh(math.atanh(rho) + half), rel=1e-12)


def test_spearmans_interval_covers_about_95_percent():
    generator = np.random.default_rng(1)
    pearson, points, trials = 0.8, 30, 400
    true = 6 / math.pi * math.asin(pearson / 2)
    hits = 0
    for _ in range(trials):
        x, noise = generator.standard_normal((2, points))
        y = pearson * x + math.sqrt(1 - pearson**2) * noise
        low, high = spearman_interval(correlation(ranks(x), ranks(y)), points)
        hits += low <= true <= high
    assert 0.92 <= hits / trials <= 0.98


def test_least_squares_line_and_its_standard_errors():
    n, dx = len(X), X - X.mean()
    slope = (dx * (Y - Y.mean())).sum() / (dx**2).sum()
    intercept = Y.mean() - slope * X.mean()
    variance = ((Y - intercept - slope * X) ** 2).sum() / (n - 2)
    got = pair_statistics(X, Y)
    assert got.slope == pytest.approx(slope, rel=1e-12)
    assert got.intercept == pytest.approx(intercept, rel=1e-12)
    assert got.slope_se == pytest.approx(math.sqrt(variance / (dx**2).sum()), rel=1e-10)
    assert got.intercept_se == pytest.approx(
        math.sqrt(variance * (1 / n + X.mean() ** 2 / (dx**2).sum())), rel=1e-10
    )


@pytest.mark.parametrize(("count", "words"), [(0, "no points"), (1, "only 1"), (2, "only 2")])
def test_fewer_than_three_points_define_nothing(count, words):
    got = pair_statistics(X[:count], Y[:count])
    names = (*CORRELATION, *LINE, *INTERVALS)
    assert undefined(got, names) == list(names)
    assert got.points == count
    assert words in got.notes[0]
    assert "at least 3" in got.notes[0]


def test_three_points_have_no_interval():
    got = pair_statistics(X[:3], Y[:3])
    assert undefined(got, (*CORRELATION, *LINE)) == []
    assert undefined(got, INTERVALS) == list(INTERVALS)
    assert "at least 4" in got.notes[0]


@pytest.mark.parametrize("shift", [0.0, 1e-17], ids=["equal", "equal up to rounding"])
def test_constant_x_defines_neither_line_nor_correlation(shift):
    x = np.full(8, 0.7)
    x[0] += shift
    got = pair_statistics(x, Y)
    names = (*CORRELATION, *LINE, *INTERVALS)
    assert undefined(got, names) == list(names)
    assert "same x" in got.notes[0]


def test_constant_y_gives_a_flat_line_and_no_correlation():
    got = pair_statistics(X, np.full(8, 0.7))
    assert undefined(got, (*CORRELATION, *INTERVALS)) == [*CORRELATION, *INTERVALS]
    assert (got.slope, got.intercept) == pytest.approx((0.0, 0.7), abs=1e-15)
    assert "same y" in got.notes[0]


def test_perfect_agreement_of_ranks_has_no_interval():
    got = pair_statistics(X, np.exp(3 * X))
    assert got.spearman == pytest.approx(1.0)
    assert undefined(got, INTERVALS) == ["spearman_low", "spearman_high"]
    assert "ranks agree perfectly" in got.notes[0]


def test_points_on_a_line_have_correlation_one():
    got = pair_statistics(X, 2 * X - 1)
    assert (got.pearson, got.slope, got.intercept) == pytest.approx((1.0, 2.0, -1.0))
    assert got.slope_se == pytest.approx(0.0, abs=1e-7)


def test_points_that_are_not_finite_are_dropped_and_counted():
    x, y = np.append(X, [np.nan, 0.5, 0.6]), np.append(Y, [0.5, np.inf, np.nan])
    got, clean = pair_statistics(x, y), pair_statistics(X, Y)
    assert (got.points, got.pearson, got.slope) == (8, clean.pearson, clean.slope)
    assert got.notes == ("3 of 11 points left out: not finite or not measured",)


def test_agreement_counts_points_within_two_standard_errors():
    difference = np.array([0.1, -0.2, 0.3, 0.05, -0.4, 0.0, 0.2, np.nan])
    error = np.array([0.05, 0.09, 0.2, np.nan, 0.3, 0.0, 0.01, 0.1])
    got = pair_statistics(X, Y, difference, error)
    # 0.1 ≤ 0.1, 0.2 > 0.18, 0.3 ≤ 0.4, (no error), 0.4 ≤ 0.6, 0 ≤ 0, 0.2 > 0.02, (no difference)
    assert got.compared == 6
    assert got.within_two_se == pytest.approx(4 / 6)
    assert got.within_error == pytest.approx(3 / 6)  # 0.1 > 1.96 · 0.05
    assert got.mean_difference == pytest.approx(0.05 / 7)


def test_agreement_ignores_points_that_are_not_drawn():
    got = pair_statistics(np.append(X, np.nan), np.append(Y, 0.5), [0.0] * 8 + [9.0], [0.1] * 9)
    assert (got.compared, got.within_two_se, got.mean_difference) == (8, 1.0, 0.0)


def test_agreement_without_standard_errors_is_the_mean_alone():
    got = pair_statistics(X, Y, Y - X)
    assert got.mean_difference == pytest.approx((Y - X).mean())
    assert got.compared == 0
    assert math.isnan(got.within_two_se)


def test_without_known_seeds_nothing_is_said_of_them():
    got = pair_statistics(X, Y, Y - X)
    assert (got.seeds, got.notes) == (0, ())
    assert math.isnan(got.mean_difference_p)


def test_one_seed_keeps_the_intervals_of_independent_points_and_says_so():
    got, plain = pair_statistics(X, Y, Y - X, seeds=np.zeros(8)), pair_statistics(X, Y, Y - X)
    assert got.notes == (ONE_SEED,)
    assert (got.seeds, got.pearson_low, got.slope_low) == (1, plain.pearson_low, plain.slope_low)
    quantile = 2.4469118487916806  # of Student's t with 6 degrees
    assert got.slope_high == pytest.approx(got.slope + quantile * got.slope_se)
    assert math.isnan(got.mean_difference_low)


def test_several_seeds_give_intervals_over_seeds():
    seeds = np.array([3, 3, 3, 7, 7, 9, 9, 9])
    got = pair_statistics(np.append(X, np.nan), np.append(Y, 0.5), np.append(Y - X, 0.1),
                          np.full(9, 0.05), np.append(seeds, 11))  # fmt: skip
    codes = np.unique(seeds, return_inverse=True)[1]
    over = OverSeeds(codes, X, Y)
    assert (got.seeds, got.points) == (3, 8)
    assert (got.pearson_low, got.pearson_high) == (over.pearson().low, over.pearson().high)
    assert (got.spearman_low, got.slope_high) == (over.spearman().low, over.slope().high)
    assert got.pearson == pytest.approx(correlation(X, Y), rel=1e-12)
    mean, p = mean_over_seeds(codes, Y - X)
    assert (got.mean_difference, got.mean_difference_low) == (mean.value, mean.low)
    assert got.mean_difference_p == p
    assert got.within_error_low <= got.within_error <= got.within_error_high
    assert len(got.notes) == 1  # the point that is left out


def test_line_with_errors_in_both_takes_the_runs_own_errors():
    """By rotation: for errors of equal size, uncorrelated, it is the main axis of the points."""
    errors = Errors(x=np.full(8, 0.1), y=np.full(8, 0.1))
    _, axes = np.linalg.eigh(np.cov(X, Y))
    main = axes[1, 1] / axes[0, 1]
    for difference_se in (None, np.full(8, math.sqrt(0.02))):
        got = pair_statistics(X, Y, Y - X, difference_se, errors=errors)
        assert got.deming_slope == pytest.approx(main)
        assert got.deming_intercept == pytest.approx(Y.mean() - main * X.mean())
    correlated = pair_statistics(X, Y, Y - X, np.full(8, 0.1), errors=errors)
    assert correlated.deming_slope != pytest.approx(main)
    lacking = Errors(x=np.append(0.1, np.full(7, np.nan)), y=np.full(8, 0.1))
    assert math.isnan(pair_statistics(X, Y, errors=lacking).deming_slope)


def test_the_table_gives_seeds_and_errors():
    table = make_table().assign(osgr_rhs_se=0.1, osgr_lhs_se=0.1, osgr_lhs_test_se=0.05)
    table = table.assign(n_sets=3, n_test=100, seed=[0, 1] * 8)
    got = statistics_by_epoch(table, "osgr_rhs", "osgr_lhs")[0]
    assert got.seeds == 2
    assert math.isfinite(got.deming_slope)
    freedom = degrees_of_freedom([0.05], [3], [0.05], [100])
    assert freedom == pytest.approx([99])  # all of it comes from the test set
    inside = np.abs(Y - X) <= 1.98422 * 0.05
    assert got.within_error == inside.mean()


def test_agreement_takes_students_quantile_of_the_errors_degrees():
    """t at 0.975: 4.3027 for 2 degrees, 2.2622 for 9; Welch's degrees as his formula has them."""
    few, ten = Errors(n_sets=np.full(8, 3.0)), Errors(n_sets=np.full(8, 10.0))
    for errors, quantile in ((few, 4.30265), (ten, 2.26216), (None, 1.95996)):
        for factor, inside in ((0.999, 1.0), (1.001, 0.0)):
            difference = np.full(8, 0.1 * quantile * factor)
            got = pair_statistics(X, Y, difference, np.full(8, 0.1), errors=errors)
            assert got.within_error == inside
    # Of variance 1 the sets' part is 0.25 (M = 3), the test set's 0.75 (n' = 101).
    freedom = degrees_of_freedom([1.0], [3.0], [math.sqrt(0.75)], [101.0])
    assert freedom == pytest.approx([1 / (0.25**2 / 2 + 0.75**2 / 100)])
    assert degrees_of_freedom([1.0, 0.0], 3.0) == pytest.approx([2, 2])
    unknown = degrees_of_freedom([1.0, 1.0], 3.0, [math.nan, 0.9], [100.0, math.nan])
    assert unknown == pytest.approx([2, 2])


def test_a_single_training_set_has_no_error():
    single = Errors(n_sets=np.ones(8))
    got = pair_statistics(X, Y, Y - X, np.full(8, 0.1), errors=single)
    assert (got.compared, math.isnan(got.within_error)) == (0, True)


def make_table():
    rows = [
        {"epoch": epoch, "osgr_rhs": x, "osgr_lhs": y + epoch / 100, "osgr_diff": y - x}
        for epoch in (20, 0)
        for x, y in zip(X, Y, strict=True)
    ]
    return pd.DataFrame(rows).assign(osgr_diff_se=0.05, nonfinite="")


def test_every_epoch_is_treated_by_itself_and_in_order():
    got = statistics_by_epoch(make_table(), "osgr_rhs", "osgr_lhs")
    assert list(got) == [0, 20]
    assert got[20].intercept - got[0].intercept == pytest.approx(0.2)
    assert got[20].mean_difference == pytest.approx((Y - X).mean())
    assert got[0].within_two_se == pytest.approx((np.abs(Y - X) <= 0.1).mean())
    few = statistics_by_epoch(make_table().assign(n_sets=3), "osgr_rhs", "osgr_lhs")[0]
    assert few.within_error == (np.abs(Y - X) <= 4.30265 * 0.05).mean() == 1 > few.within_two_se


def test_the_recorded_difference_belongs_to_its_own_pair_only():
    table = make_table().assign(train_loss=range(16))
    got = statistics_by_epoch(table, "osgr_rhs", "train_loss")
    assert got[0].compared == 0
    assert math.isnan(got[0].mean_difference)
    assert difference_columns("a_rhs", "a_lhs") == ("a_diff", "a_diff_se")
    assert difference_columns("a_rhs", "b_lhs") == ("", "")


def test_epochs_without_the_pair_are_skipped_but_failures_are_not():
    nothing = {"osgr_rhs": np.nan, "osgr_lhs": np.nan}
    table = pd.concat(
        [
            make_table(),
            pd.DataFrame([{"epoch": 7, **nothing, "nonfinite": "train_loss"}] * 4),
            pd.DataFrame([{"epoch": 9, **nothing, "nonfinite": "osgr_lhs osgr_rhs"}] * 4),
        ]
    )
    got = statistics_by_epoch(table, "osgr_rhs", "osgr_lhs")
    assert list(got) == [0, 9, 20]
    assert got[9].points == 0
    assert "4 of 4 points left out" in got[9].notes[0]


def test_statistics_become_one_row_an_epoch():
    by_epoch = statistics_by_epoch(make_table(), "osgr_rhs", "osgr_lhs")
    by_epoch[40] = pair_statistics([1, 2], [1, 2])
    table = statistics_table(by_epoch, "osgr_rhs", "osgr_lhs")
    assert table["epoch"].tolist() == [0, 20, 40]
    assert set(table["x"]) == {"osgr_rhs"}
    assert table["pearson"][1] == by_epoch[20].pearson
    assert "only 2 points" in table["notes"][2]
