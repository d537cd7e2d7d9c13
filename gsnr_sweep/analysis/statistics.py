"""How well one measured quantity follows another over the runs of a sweep, epoch by epoch.

The intervals are those of a random sample. The points of a sweep are a designed grid, so read them
as a measure of how finely the number of points resolves a correlation, not as a statement about
grids that were never run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from gsnr_sweep.wording import Step, describe_epoch

if TYPE_CHECKING:
    from pandas import DataFrame, Series

CONFIDENCE = 0.95
MIN_POINTS = 3
MIN_POINTS_INTERVAL = 4
NAN = math.nan

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class PairStatistics:
    """Statistics of the points (x, y) of one epoch; NaN where undefined, `notes` say why.

    Attributes:
        points: Number of points with both coordinates finite; the others count nowhere.
        pearson: Pearson's correlation coefficient c.
        pearson_low: Lower end of its 95 % confidence interval (Fisher's z).
        pearson_high: Upper end.
        spearman: Spearman's rank correlation coefficient.
        spearman_low: Lower end of its 95 % interval (Fisher's z, Bonett and Wright 2000).
        spearman_high: Upper end.
        slope: Slope of the least-squares line of y on x.
        slope_se: Its standard error.
        intercept: Intercept of that line.
        intercept_se: Its standard error.
        mean_difference: Mean of y − x over the points, as the runs recorded it.
        within_two_se: Share, from 0 to 1, of the points with |y − x| ≤ 2 standard errors.
        compared: Number of points that have such a standard error.
        notes: What is undefined and why, a sentence each.
    """

    points: int
    pearson: float = NAN
    pearson_low: float = NAN
    pearson_high: float = NAN
    spearman: float = NAN
    spearman_low: float = NAN
    spearman_high: float = NAN
    slope: float = NAN
    slope_se: float = NAN
    intercept: float = NAN
    intercept_se: float = NAN
    mean_difference: float = NAN
    within_two_se: float = NAN
    compared: int = 0
    notes: tuple[str, ...] = ()

    def as_row(self) -> dict[str, Any]:
        """Return the fields as one flat table row, the notes joined by semicolons."""
        return {**asdict(self), "notes": "; ".join(self.notes)}


def pair_statistics(
    x: ArrayLike,
    y: ArrayLike,
    difference: ArrayLike | None = None,
    difference_se: ArrayLike | None = None,
) -> PairStatistics:
    """Compute correlation, line and agreement of the points (x, y).

    Args:
        x: Values, shape (points,); NaN or infinite where not measured.
        y: Values, shape (points,).
        difference: y − x as measured, shape (points,), for checking eq. (19) of Liu et al. 2020.
        difference_se: Its standard error, shape (points,).
    """
    xs, ys = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    finite = np.isfinite(xs) & np.isfinite(ys)
    fields = _agreement(finite, difference, difference_se)
    notes = []
    if dropped := len(xs) - int(finite.sum()):
        notes.append(f"{dropped} of {len(xs)} points left out: not finite or not measured")
    correlated, why = _correlation_and_line(xs[finite], ys[finite])
    return PairStatistics(
        points=int(finite.sum()), **fields, **correlated, notes=tuple(notes + why)
    )


def statistics_by_epoch(table: DataFrame, x: str, y: str) -> dict[float, PairStatistics]:
    """Compute the statistics of every epoch at which `x` or `y` was measured.

    Args:
        table: One row a run and epoch, with the columns ``epoch``, `x`, `y`. Where the pair is a
            left and a right side (``osgr_lhs`` and ``osgr_rhs``), the columns ``osgr_diff`` and
            ``osgr_diff_se`` are read as well, if they exist.
        x: Column of the abscissa.
        y: Column of the ordinate.

    Returns:
        The statistics by epoch, in the order of the epochs: whole numbers, fractions for steps
        within an epoch.
    """
    measured = table[table[x].notna() | table[y].notna() | _recorded_as_nonfinite(table, x, y)]
    columns = [c if c in table else None for c in difference_columns(x, y)]
    result = {}
    for epoch in sorted(_plain(e) for e in measured["epoch"].unique()):
        rows = measured[measured["epoch"] == epoch]
        difference, error = (None if c is None else rows[c].to_numpy() for c in columns)
        result[epoch] = pair_statistics(rows[x].to_numpy(), rows[y].to_numpy(), difference, error)
    return result


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


def _correlation_and_line(x: Vector, y: Vector) -> tuple[dict[str, Any], list[str]]:
    """Return the fields of correlation and line, and what to say of those left undefined."""
    points = len(x)
    if points < MIN_POINTS:
        count = {0: "no points", 1: "only 1 point"}.get(points, f"only {points} points")
        return {}, [f"{count}: a correlation or a line needs at least {MIN_POINTS}"]
    if _is_constant(x):
        return {}, ["all points have the same x: no correlation and no line is defined"]
    line = _line(x, y)
    if _is_constant(y):
        return line, ["all points have the same y: the line is flat, no correlation is defined"]
    correlation, notes = _correlation(x, y)
    return {**line, **correlation}, notes


def _line(x: Vector, y: Vector) -> dict[str, Any]:
    """Return the least-squares line of y on x."""
    line = stats.linregress(x, y)
    return {
        "slope": float(line.slope),
        "slope_se": float(line.stderr),
        "intercept": float(line.intercept),
        "intercept_se": float(line.intercept_stderr),
    }


def _correlation(x: Vector, y: Vector) -> tuple[dict[str, Any], list[str]]:
    """Return both coefficients with those of their intervals that are defined."""
    pearson, rho = stats.pearsonr(x, y), float(stats.spearmanr(x, y).statistic)
    fields = {"pearson": float(pearson.statistic), "spearman": rho}
    if len(x) < MIN_POINTS_INTERVAL:
        return fields, [
            f"only {len(x)} points: a confidence interval needs at least {MIN_POINTS_INTERVAL}"
        ]
    interval = pearson.confidence_interval(CONFIDENCE)
    fields |= {"pearson_low": float(interval.low), "pearson_high": float(interval.high)}
    if math.isclose(abs(rho), 1.0, rel_tol=1e-12):
        return fields, ["the ranks agree perfectly: Spearman's coefficient has no interval"]
    low, high = spearman_interval(rho, len(x))
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
    finite: NDArray[np.bool_], difference: ArrayLike | None, difference_se: ArrayLike | None
) -> dict[str, Any]:
    """Return how the measured differences compare with zero and with their standard errors."""
    if difference is None:
        return {}
    differences = np.asarray(difference, dtype=float)
    known = finite & np.isfinite(differences)
    fields: dict[str, Any] = {}
    if known.any():
        fields["mean_difference"] = float(differences[known].mean())
    if difference_se is None:
        return fields
    errors = np.asarray(difference_se, dtype=float)
    judged = known & np.isfinite(errors)
    fields["compared"] = int(judged.sum())
    if judged.any():
        inside = np.abs(differences[judged]) <= 2 * errors[judged]
        fields["within_two_se"] = float(inside.mean())
    return fields
