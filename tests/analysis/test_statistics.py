"""The statistics against formulas written out by hand, and what they say where undefined."""

import math

import numpy as np
import pandas as pd
import pytest

from gsnr_sweep.analysis.statistics import (
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
    assert got.mean_difference == pytest.approx(0.05 / 7)


def test_agreement_ignores_points_that_are_not_drawn():
    got = pair_statistics(np.append(X, np.nan), np.append(Y, 0.5), [0.0] * 8 + [9.0], [0.1] * 9)
    assert (got.compared, got.within_two_se, got.mean_difference) == (8, 1.0, 0.0)


def test_agreement_without_standard_errors_is_the_mean_alone():
    got = pair_statistics(X, Y, Y - X)
    assert got.mean_difference == pytest.approx((Y - X).mean())
    assert got.compared == 0
    assert math.isnan(got.within_two_se)


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
