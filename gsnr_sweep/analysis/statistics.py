"""How well one measured quantity follows another over the runs of a sweep, epoch by epoch.

The points of one seed share initial weights, the test set and parts of the training sets. With
several seeds the intervals are over these (`gsnr_sweep.analysis.over_seeds`). With one they are
those of a random sample: they say how finely the number of points resolves a correlation, and know
nothing of what the points have in common, which the notes say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from gsnr_sweep.analysis.axes import SEEDS, seed_numbers
from gsnr_sweep.analysis.lines import Moments
from gsnr_sweep.analysis.over_seeds import OverSeeds, mean_over_seeds
from gsnr_sweep.analysis.standard_errors import CONFIDENCE, degrees_of_freedom, half_width
from gsnr_sweep.wording import Step, describe_epoch

if TYPE_CHECKING:
    from pandas import DataFrame, Series

__all__ = ["CONFIDENCE", "PairStatistics", "pair_statistics", "statistics_by_epoch"]

MIN_POINTS = 3
MIN_POINTS_INTERVAL = 4
NAN = math.nan

ONE_SEED = (
    "one seed: its points share initial weights, test set and training samples, and the intervals "
    "do not know it; sweep seed, too"
)

Vector = NDArray[np.float64]
Codes = NDArray[np.intp]


@dataclass(frozen=True)
class PairStatistics:
    """Statistics of the points (x, y) of one epoch; NaN where undefined, `notes` say why.

    Attributes:
        points: Number of points with both coordinates finite; the others count nowhere.
        seeds: Number of their seeds; 0 if not known. From two on all intervals are over seeds.
        pearson: Pearson's correlation coefficient c.
        pearson_low: Lower end of its 95 % confidence interval (Fisher's z).
        pearson_high: Upper end.
        spearman: Spearman's rank correlation coefficient.
        spearman_low: Lower end of its 95 % interval (Fisher's z; with one seed Bonett and Wright
            2000).
        spearman_high: Upper end.
        slope: Slope of the least-squares line of y on x.
        slope_se: Its standard error.
        slope_low: Lower end of its 95 % interval (Student's t).
        slope_high: Upper end.
        intercept: Intercept of that line.
        intercept_se: Its standard error.
        deming_slope: Slope of the line with errors in both coordinates, from the runs' own
            standard errors, see `Moments.deming`.
        deming_slope_low: Lower end of its 95 % interval; over seeds only.
        deming_slope_high: Upper end.
        deming_intercept: Intercept of that line.
        mean_difference: Mean of y − x as the runs recorded it, over the points; with several seeds
            over the seeds' means.
        mean_difference_low: Lower end of its 95 % interval (Student's t); over seeds only.
        mean_difference_high: Upper end.
        mean_difference_p: p of the test that it is zero over seeds: of y = x for all points
            together.
        within_error: Share, from 0 to 1, of the points whose |y − x| is within the 95 % interval
            of its own error (Student's t).
        within_error_low: Lower end of its 95 % interval; over seeds only.
        within_error_high: Upper end.
        within_two_se: The same share with 2 standard errors, whatever their degrees of freedom.
        compared: Number of points that have such a standard error.
        notes: What is undefined and why, a sentence each.
    """

    points: int
    seeds: int = 0
    pearson: float = NAN
    pearson_low: float = NAN
    pearson_high: float = NAN
    spearman: float = NAN
    spearman_low: float = NAN
    spearman_high: float = NAN
    slope: float = NAN
    slope_se: float = NAN
    slope_low: float = NAN
    slope_high: float = NAN
    intercept: float = NAN
    intercept_se: float = NAN
    deming_slope: float = NAN
    deming_slope_low: float = NAN
    deming_slope_high: float = NAN
    deming_intercept: float = NAN
    mean_difference: float = NAN
    mean_difference_low: float = NAN
    mean_difference_high: float = NAN
    mean_difference_p: float = NAN
    within_error: float = NAN
    within_error_low: float = NAN
    within_error_high: float = NAN
    within_two_se: float = NAN
    compared: int = 0
    notes: tuple[str, ...] = ()

    def as_row(self) -> dict[str, Any]:
        """Return the fields as one flat table row, the notes joined by semicolons."""
        return {**asdict(self), "notes": "; ".join(self.notes)}


@dataclass(frozen=True)
class Errors:
    """Standard errors of points and what they are made of, each of shape (points,).

    Attributes:
        x: Of x.
        y: Of y.
        test: The part of y's that comes from the test set; NaN where it is not known.
        n_sets: M, the training sets of each point; NaN where it is not known.
        n_test: n', its test samples.
    """

    x: Vector | None = None
    y: Vector | None = None
    test: Vector | None = None
    n_sets: Vector | None = None
    n_test: Vector | None = None


def pair_statistics(
    x: ArrayLike,
    y: ArrayLike,
    difference: ArrayLike | None = None,
    difference_se: ArrayLike | None = None,
    seeds: ArrayLike | None = None,
    errors: Errors | None = None,
) -> PairStatistics:
    """Compute correlation, line and agreement of the points (x, y).

    Args:
        x: Values, shape (points,); NaN or infinite where not measured.
        y: Values, shape (points,).
        difference: y − x as measured, shape (points,), for checking eq. (19) of Liu et al. 2020.
        difference_se: Its standard error, shape (points,).
        seeds: Of the points, shape (points,): those of equal seeds depend on each other.
        errors: Of both coordinates, for the line with errors in both and the intervals of the
            differences.
    """
    xs, ys = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    finite = np.isfinite(xs) & np.isfinite(ys)
    codes = None if seeds is None else np.unique(np.asarray(seeds), return_inverse=True)[1]
    errors = errors or Errors()
    fields = _agreement(finite, difference, difference_se, codes, errors)
    notes = []
    if dropped := len(xs) - int(finite.sum()):
        notes.append(f"{dropped} of {len(xs)} points left out: not finite or not measured")
    points = _Points(xs[finite], ys[finite], None if codes is None else codes[finite])
    correlated, why = _correlation_and_line(points)
    if "slope" in correlated:
        correlated |= _deming(points, finite, difference_se, errors)
    if points.n_seeds == 1 and "pearson" in correlated:
        why.append(ONE_SEED)
    return PairStatistics(
        points=len(points.x), seeds=points.n_seeds, **fields, **correlated, notes=(*notes, *why)
    )


@dataclass(frozen=True)
class _Points:
    """Finite points with the numbers of their seeds, from 0 on; None where these are not known."""

    x: Vector
    y: Vector
    seeds: Codes | None

    @cached_property
    def n_seeds(self) -> int:
        return 0 if self.seeds is None else len(np.unique(self.seeds))

    @cached_property
    def over_seeds(self) -> OverSeeds | None:
        """What has intervals over seeds, if there are several."""
        if self.seeds is None or self.n_seeds < 2:
            return None
        return OverSeeds(np.unique(self.seeds, return_inverse=True)[1], self.x, self.y)


def statistics_by_epoch(table: DataFrame, x: str, y: str) -> dict[float, PairStatistics]:
    """Compute the statistics of every epoch at which `x` or `y` was measured.

    Args:
        table: One row a run and epoch, with the columns ``epoch``, `x`, `y`. If they exist, also
            ``seed``, ``n_sets``, ``n_test`` and the standard errors ``{x}_se``, ``{y}_se`` and
            ``{y}_test_se`` are read, and where the pair is a left and a right side (``osgr_lhs``
            and ``osgr_rhs``) ``osgr_diff`` and ``osgr_diff_se``.
        x: Column of the abscissa.
        y: Column of the ordinate.

    Returns:
        The statistics by epoch, in the order of the epochs: whole numbers, fractions for steps
        within an epoch.
    """
    measured = table[table[x].notna() | table[y].notna() | _recorded_as_nonfinite(table, x, y)]
    difference, difference_se = difference_columns(x, y)
    names = (f"{x}_se", f"{y}_se", f"{y}_test_se", "n_sets", "n_test")
    result = {}
    for epoch in sorted(_plain(e) for e in measured["epoch"].unique()):
        rows = measured[measured["epoch"] == epoch]
        result[epoch] = pair_statistics(
            rows[x].to_numpy(),
            rows[y].to_numpy(),
            _numbers(rows, difference),
            _numbers(rows, difference_se),
            seed_numbers(rows) if set(SEEDS) & {*rows} else None,
            Errors(*(_numbers(rows, name) for name in names)),
        )
    return result


def _numbers(rows: DataFrame, column: str) -> Vector | None:
    """Return a column as numbers, NaN where it has none; None if there is no such column."""
    return rows[column].to_numpy(dtype=float, na_value=NAN) if column in rows else None


def _plain(epoch: float) -> float:
    """Return a whole epoch as a whole number, whatever type its column has."""
    if isinstance(epoch, Step):
        return epoch
    return int(epoch) if float(epoch).is_integer() else float(epoch)


def difference_columns(x: str, y: str) -> tuple[str, str]:
    """Return the columns of y − x and its standard error; empty names if the pair has none."""
    stem = y.removesuffix("_lhs")
    if y == f"{stem}_lhs" and x == f"{stem}_rhs":
        return f"{stem}_diff", f"{stem}_diff_se"
    return "", ""


def statistics_table(by_epoch: Mapping[float, PairStatistics], x: str, y: str) -> DataFrame:
    """Lay the statistics out as a table, one row an epoch, that names its quantities."""
    import pandas as pd

    told = {e: describe_epoch(e) for e in by_epoch if math.isinf(e) or isinstance(e, Step)}
    rows = [{"x": x, "y": y, "epoch": told.get(e, e), **s.as_row()} for e, s in by_epoch.items()]
    return pd.DataFrame(rows)


def _recorded_as_nonfinite(table: DataFrame, x: str, y: str) -> Series[bool]:
    """Tell for each row whether the run recorded x or y as NaN or infinite.

    Such a row is a failure to be counted; a row that merely lacks them was not scheduled.
    """
    if "nonfinite" not in table:
        return table["epoch"].isna()
    return table["nonfinite"].map(lambda names: bool({x, y} & set(names.split())))


def _correlation_and_line(points: _Points) -> tuple[dict[str, Any], list[str]]:
    """Return the fields of correlation and line, and what to say of those left undefined."""
    count = len(points.x)
    if count < MIN_POINTS:
        told = {0: "no points", 1: "only 1 point"}.get(count, f"only {count} points")
        return {}, [f"{told}: a correlation or a line needs at least {MIN_POINTS}"]
    if _is_constant(points.x):
        return {}, ["all points have the same x: no correlation and no line is defined"]
    line = _line(points)
    if _is_constant(points.y):
        return line, ["all points have the same y: the line is flat, no correlation is defined"]
    correlation, notes = _correlation(points)
    return {**line, **correlation}, notes


def _line(points: _Points) -> dict[str, Any]:
    """Return the least-squares line of y on x."""
    line = stats.linregress(points.x, points.y)
    fields = {"slope": float(line.slope), "intercept": float(line.intercept)}
    over = points.over_seeds
    if over is None:
        half = float(half_width(line.stderr, len(points.x) - 2))
        return fields | {
            "slope_se": float(line.stderr),
            "slope_low": fields["slope"] - half,
            "slope_high": fields["slope"] + half,
            "intercept_se": float(line.intercept_stderr),
        }
    slope, intercept = over.slope(), over.intercept()
    return fields | {
        "slope_se": slope.se,
        "slope_low": slope.low,
        "slope_high": slope.high,
        "intercept_se": intercept.se,
    }


def _deming(
    points: _Points, finite: NDArray[np.bool_], difference_se: ArrayLike | None, errors: Errors
) -> dict[str, Any]:
    """Return the line with errors in both coordinates, if all points have both errors.

    The variance of y − x tells the covariance of the errors, which come from the same sets.
    """
    if errors.x is None or errors.y is None:
        return {}
    with np.errstate(over="ignore", invalid="ignore"):
        xx, yy = errors.x[finite] ** 2, errors.y[finite] ** 2
        xy = np.zeros_like(xx)
        if difference_se is not None:
            xy = (xx + yy - np.asarray(difference_se, dtype=float)[finite] ** 2) / 2
    if not np.isfinite(xx + xy + yy).all():
        return {}
    moments = Moments.of(points.x, points.y, np.ones((1, len(xx))))
    slope = float(moments.deming(*(each.mean(keepdims=True) for each in (xx, xy, yy)))[0])
    fields = {
        "deming_slope": slope,
        "deming_intercept": float(moments.y[0]) - slope * float(moments.x[0]),
    }
    if points.over_seeds is None:
        return fields
    found = points.over_seeds.deming(xx, xy, yy)
    return fields | {"deming_slope_low": found.low, "deming_slope_high": found.high}


def _correlation(points: _Points) -> tuple[dict[str, Any], list[str]]:
    """Return both coefficients with those of their intervals that are defined."""
    x, y, over = points.x, points.y, points.over_seeds
    pearson, rho = stats.pearsonr(x, y), float(stats.spearmanr(x, y).statistic)
    fields = {"pearson": float(pearson.statistic), "spearman": rho}
    if len(x) < MIN_POINTS_INTERVAL:
        return fields, [
            f"only {len(x)} points: a confidence interval needs at least {MIN_POINTS_INTERVAL}"
        ]
    interval = pearson.confidence_interval(CONFIDENCE) if over is None else over.pearson()
    fields |= {"pearson_low": float(interval.low), "pearson_high": float(interval.high)}
    if math.isclose(abs(rho), 1.0, rel_tol=1e-12):
        return fields, ["the ranks agree perfectly: Spearman's coefficient has no interval"]
    if over is None:
        low, high = spearman_interval(rho, len(x))
    else:
        ranked = over.spearman()
        low, high = ranked.low, ranked.high
    return {**fields, "spearman_low": low, "spearman_high": high}, []


def spearman_interval(rho: float, points: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of Spearman's coefficient.

    Fisher's z with the standard error √((1 + ρ²/2) / (n − 3)) of Bonett and Wright 2000
    (Psychometrika 65, 23–28). For few, strongly correlated points it covers better than Fieller's
    √(1.06 / (n − 3)), and unlike a bootstrap it does not collapse when a handful of points is
    resampled. It is too narrow, as every one of these is, for under ten points with ρ near 1.
    """
    z = math.atanh(rho)
    half = stats.norm.ppf((1 + CONFIDENCE) / 2) * math.sqrt((1 + rho**2 / 2) / (points - 3))
    return math.tanh(z - half), math.tanh(z + half)


def _is_constant(values: Vector) -> bool:
    """Tell whether the values differ by no more than rounding."""
    return bool(np.ptp(values) <= 1e-13 * np.max(np.abs(values)))


def _agreement(
    finite: NDArray[np.bool_],
    difference: ArrayLike | None,
    difference_se: ArrayLike | None,
    seeds: Codes | None,
    errors: Errors,
) -> dict[str, Any]:
    """Return how the measured differences compare with zero and with their standard errors."""
    if difference is None:
        return {}
    differences = np.asarray(difference, dtype=float)
    known = finite & np.isfinite(differences)
    fields: dict[str, Any] = {}
    if known.any():
        fields |= _mean_difference(differences[known], None if seeds is None else seeds[known])
    if difference_se is None:
        return fields
    standard_errors = np.asarray(difference_se, dtype=float)
    n_sets = np.nan if errors.n_sets is None else errors.n_sets
    n_test = np.nan if errors.n_test is None else errors.n_test
    freedom = degrees_of_freedom(standard_errors, n_sets, errors.test, n_test)
    judged = known & ~np.isnan(freedom)
    fields["compared"] = int(judged.sum())
    if judged.any():
        size, errors_of_size = np.abs(differences[judged]), standard_errors[judged]
        inside = (size <= half_width(errors_of_size, freedom[judged])).astype(float)
        fields["within_error"] = float(inside.mean())
        fields["within_two_se"] = float((size <= 2 * errors_of_size).mean())
        if seeds is not None:
            share, _ = mean_over_seeds(seeds[judged], inside)
            fields["within_error_low"] = max(share.low, 0.0)
            fields["within_error_high"] = min(share.high, 1.0)
    return fields


def _mean_difference(differences: Vector, seeds: Codes | None) -> dict[str, float]:
    if seeds is None or len(np.unique(seeds)) < 2:
        return {"mean_difference": float(differences.mean())}
    mean, p = mean_over_seeds(seeds, differences)
    return {
        "mean_difference": mean.value,
        "mean_difference_low": mean.low,
        "mean_difference_high": mean.high,
        "mean_difference_p": p,
    }
