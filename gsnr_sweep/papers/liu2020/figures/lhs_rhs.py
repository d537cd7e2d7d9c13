"""Both sides of eq. (19) of Liu et al. 2020 against each other: the paper's Fig. 4.

One panel an epoch, one point a run. By default the colour stands for the size of the training
sets, n, and the marker for the width of the network, ch; whatever else varies between the runs,
such as p_random, is not told apart, as in the paper.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from pandas import DataFrame

from gsnr_sweep.analysis.statistics import PairStatistics
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.papers.plotting.legend import add_legend
from gsnr_sweep.papers.plotting.levels import Levels, color_levels, labels_of, marker_levels
from gsnr_sweep.papers.plotting.panels import finish_grid, panel_grid, set_equal_axes

AXIS_LABELS = {
    "osgr_rhs": "RHS: from GSNR, eq. (24)",
    "osgr_lhs": "LHS: OSGR by definition, eq. (23)",
}
MAX_PANELS = 16
FIT: dict[str, Any] = {"color": "#d62728", "linestyle": ":", "linewidth": 1.6}
DIAGONAL: dict[str, Any] = {"color": "#1f3fd1", "linestyle": ":", "linewidth": 1.3}
ERROR_BAR: dict[str, Any] = {"color": "0.55", "linewidth": 0.6}
TITLE_SIZE = 8.5


def draw_lhs_rhs(
    table: DataFrame,
    statistics: Mapping[int, PairStatistics],
    *,
    x: str = "osgr_rhs",
    y: str = "osgr_lhs",
    hue: str = "n",
    style: str = "ch",
    error_bars: bool = False,
) -> Figure:
    """Draw one panel for each epoch in `statistics`.

    Args:
        table: One row a run and epoch with the columns ``epoch``, `x`, `y`, `hue`, `style` and, for
            error bars, the standard errors ``{x}_se`` and ``{y}_se``.
        statistics: Statistics by epoch; they give each panel its line and its title. Of more than
            ``MAX_PANELS`` epochs an even choice is drawn, see `panel_epochs`.
        x: Column of the abscissa.
        y: Column of the ordinate.
        hue: Column told apart by colour.
        style: Column told apart by marker.
        error_bars: Whether to draw one standard error to either side of each point.

    Raises:
        GsnrError: A column is missing, or nothing was measured.
    """
    columns = {"x": x, "y": y, "hue": hue, "style": style}
    if error_bars:
        columns |= {"x_se": f"{x}_se", "y_se": f"{y}_se"}
    _check_columns(table, columns.values())
    epochs = panel_epochs(statistics)
    if not epochs:
        raise GsnrError(f"No run measured {x} or {y} at any epoch: there is nothing to draw.")
    colors, markers = color_levels(table[hue]), marker_levels(table[style])
    figure, panels = panel_grid(len(epochs))
    for panel, epoch in zip(panels, epochs, strict=True):
        points = _points_at(table, epoch, columns)
        _draw_points(panel, points, colors, markers)
        if error_bars:
            _draw_error_bars(panel, points)
        _draw_lines(panel, points, statistics[epoch], _set_limits(panel, points))
        panel.set_title(panel_title(epoch, statistics[epoch]), fontsize=TITLE_SIZE)
    legend = add_legend(figure, colors, markers, _line_entries(error_bars))
    finish_grid(figure, panels, legend, AXIS_LABELS.get(x, x), AXIS_LABELS.get(y, y))
    return figure


def panel_epochs(epochs: Mapping[int, PairStatistics] | Sequence[int]) -> list[int]:
    """Return the epochs to draw: all, or of many an even choice with the first and the last."""
    ordered = sorted(epochs)
    count = min(len(ordered), MAX_PANELS)
    chosen = np.linspace(0, len(ordered) - 1, count).round().astype(int)
    return [ordered[index] for index in chosen]


def panel_title(epoch: int, statistics: PairStatistics) -> str:
    """Return the title of a panel, such as ``epoch 20   c = 0.98``.

    A third decimal keeps a coefficient just short of 1 from reading 1.00.
    """
    c = statistics.pearson
    if math.isnan(c):
        return f"epoch {epoch}   c undefined"
    number = f"{c:.{3 if abs(c) >= 0.995 else 2}f}".replace("-", "−")
    return f"epoch {epoch}   c = {number}"


def _check_columns(table: DataFrame, names: Iterable[str]) -> None:
    missing = [name for name in names if name not in table]
    if missing:
        raise GsnrError(
            f"The runs have no {' and no '.join(missing)}. There is: {', '.join(table.columns)}."
        )


def _points_at(table: DataFrame, epoch: int, columns: Mapping[str, str]) -> DataFrame:
    """Return the finite points of one epoch, each column under the name of its part in the figure.

    They come shuffled, always in the same way, so that no group covers another.
    """
    rows = table[table["epoch"] == epoch]
    points = DataFrame({part: rows[column] for part, column in columns.items()})
    finite = np.isfinite(points[["x", "y"]].to_numpy()).all(axis=1)
    shuffled: DataFrame = points.loc[finite].sample(frac=1, random_state=0)
    return shuffled


def _draw_points(panel: Axes, points: DataFrame, colors: Levels, markers: Levels) -> None:
    if points.empty:
        panel.text(0.5, 0.85, "no finite points", transform=panel.transAxes, ha="center", size=8)
        return
    sns.scatterplot(
        x=points["x"].to_numpy(),
        y=points["y"].to_numpy(),
        hue=labels_of(points["hue"]),
        style=labels_of(points["style"]),
        palette=colors.looks,
        markers=markers.looks,
        s=24 if len(points) <= 60 else 16,
        linewidth=0.25,
        alpha=0.9,
        legend=False,
        zorder=3,
        ax=panel,
    )


def _draw_error_bars(panel: Axes, points: DataFrame) -> None:
    panel.errorbar(
        points["x"].to_numpy(),
        points["y"].to_numpy(),
        xerr=points["x_se"].to_numpy(),
        yerr=points["y_se"].to_numpy(),
        fmt="none",
        ecolor=ERROR_BAR["color"],
        elinewidth=ERROR_BAR["linewidth"],
        zorder=2,
    )


def _set_limits(panel: Axes, points: DataFrame) -> tuple[float, float]:
    """Give both axes the same limits and ticks, so that LHS = RHS is the panel's diagonal."""
    low, high = (0.0, 1.0) if points.empty else _extent(points)
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    limits = low - margin, high + margin
    set_equal_axes(panel, limits)
    return limits


def _extent(points: DataFrame) -> tuple[float, float]:
    """Return the smallest and the largest coordinate, error bars included."""
    ends = []
    for part in ("x", "y"):
        bar = points[f"{part}_se"].fillna(0.0) if f"{part}_se" in points else 0.0
        ends += [(points[part] - bar).min(), (points[part] + bar).max()]
    return float(min(ends)), float(max(ends))


def _draw_lines(
    panel: Axes, points: DataFrame, statistics: PairStatistics, limits: tuple[float, float]
) -> None:
    """Draw LHS = RHS over the whole panel and the least-squares line over its points."""
    panel.plot(limits, limits, **DIAGONAL, zorder=1)
    if not math.isnan(statistics.slope):
        ends = points["x"].agg(["min", "max"]).to_numpy()
        panel.plot(ends, statistics.intercept + statistics.slope * ends, **FIT, zorder=4)


def _line_entries(error_bars: bool) -> list[tuple[Line2D, str]]:
    entries = [
        (Line2D([], [], **FIT), "least squares"),
        (Line2D([], [], **DIAGONAL), "LHS = RHS"),
    ]
    if error_bars:
        entries.append((Line2D([], [], **ERROR_BAR), "± 1 standard error"))
    return entries
