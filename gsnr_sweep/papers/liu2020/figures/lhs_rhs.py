"""Both sides of eq. (19) of Liu et al. 2020 against each other: the paper's Fig. 4.

One panel an epoch, one point a run; where seeds were swept, single runs are small and pale, and the
mean over the seeds of a setting is its point. Colour and marker stand for what was swept: on the
paper's grids the colour for the size of the training sets, n, and the marker for the width of the
network, ch, while the noise is not told apart, as in the paper; the legend says what is not.
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

from gsnr_sweep.analysis.analysis import DEFAULT_X, DEFAULT_Y
from gsnr_sweep.analysis.axes import SEEDS, open_axes
from gsnr_sweep.analysis.statistics import PairStatistics
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.papers.plotting.legend import Legend
from gsnr_sweep.papers.plotting.levels import (
    Levels,
    color_levels,
    combined,
    labels_of,
    marker_levels,
    ordered_labels,
)
from gsnr_sweep.papers.plotting.panels import finish_squares, set_limits, square_panels
from gsnr_sweep.papers.plotting.style import MARKERS, SIZES
from gsnr_sweep.wording import describe_epoch

AXIS_LABELS = {
    DEFAULT_X: "RHS: from GSNR, eq. (24)",
    DEFAULT_Y: "LHS: OSGR by definition, eq. (23)",
    "osgr_own_rhs": "RHS: from GSNR, for the rule's own step",
    "osgr_own_lhs": "LHS: over the rule's own next steps",
    "osgr_own_lhs_epoch": "LHS: over the rule's own next epoch",
    "osgr_own_lhs_full_batch": "LHS: one step of the rule on the whole set",
}
PAPER_AXES = ("n", "ch")
PAPER_NOISE = ({"p_random"}, {"data.eta"})
MAX_PANELS = 16
FIT: dict[str, Any] = {"color": "#d62728", "linestyle": ":", "linewidth": 1.6}
DEMING: dict[str, Any] = {"color": "#e377c2", "linestyle": "-.", "linewidth": 1.2}
DIAGONAL: dict[str, Any] = {"color": "#1f3fd1", "linestyle": ":", "linewidth": 1.3}
ERROR_BAR: dict[str, Any] = {"color": "0.55", "linewidth": 0.6}
_FULL, _PALE = 0.9, 0.3


def draw_lhs_rhs(
    table: DataFrame,
    statistics: Mapping[float, PairStatistics],
    *,
    x: str = DEFAULT_X,
    y: str = DEFAULT_Y,
    axes: Sequence[str] = (),
    hue: str | None = None,
    style: str | None = None,
    error_bars: bool = False,
) -> Figure:
    """Draw one panel for each epoch in `statistics`.

    Args:
        table: One row a run and epoch with the columns ``epoch``, `x`, `y`, the settings and, for
            error bars, the standard errors ``{x}_se`` and ``{y}_se``.
        statistics: Statistics by epoch; they give each panel its line and its title. Of more than
            ``MAX_PANELS`` epochs an even choice is drawn, see `panel_epochs`.
        x: Column of the abscissa.
        y: Column of the ordinate.
        axes: Settings that were swept.
        hue: Setting told apart by colour; by what was swept if None.
        style: Setting told apart by marker; by what was swept if None.
        error_bars: Whether to draw one standard error to either side of each point.

    Raises:
        GsnrError: A column is missing, or nothing was measured.
    """
    columns = {"x": x, "y": y}
    if error_bars:
        columns |= {"x_se": f"{x}_se", "y_se": f"{y}_se"}
    _check_columns(table, [*columns.values(), *(name for name in (hue, style) if name)])
    epochs = panel_epochs(statistics)
    if not epochs:
        raise GsnrError(f"No run measured {x} or {y} at any epoch: there is nothing to draw.")
    repeats = [name for name in axes if name in SEEDS and name not in (hue, style)]
    settings = [name for name in axes if name not in repeats]
    color, marker, others = channels(table, settings, hue, style)
    told = table.assign(hue=table[color], style=combined(table, marker))
    columns |= {"hue": "hue", "style": "style"}
    colors = color_levels(table[color])
    markers = marker_levels(table[marker[0]] if len(marker) == 1 else combined(table, marker))
    compares = (x, y) == (DEFAULT_X, DEFAULT_Y) or x.startswith("osgr_own_rhs")
    figure, panels = square_panels(len(epochs))
    for panel, epoch in zip(panels, epochs, strict=True):
        points = _points_at(told, epoch, columns, settings if repeats else None)
        _draw_points(panel, points, colors, markers, _PALE if repeats else _FULL)
        if repeats:
            _draw_points(panel, _means(points), colors, markers, _FULL)
        if error_bars:
            _draw_error_bars(panel, points)
        _set_limits(panel, points, compares)
        _draw_fit(panel, points, statistics[epoch])
        panel.set_title(panel_title(epoch, statistics[epoch]), fontsize=SIZES["title"])
    has_deming = any(not math.isnan(statistics[epoch].deming_slope) for epoch in epochs)
    legend = _legend(colors, markers if marker else None, compares, error_bars, has_deming)
    if repeats:
        seeds = table[repeats].drop_duplicates().shape[0]
        legend.say(f"{seeds} seeds: mean;\npale: each")
    for name in others:
        legend.say(f"{name}: {table[name].nunique(dropna=False)} values,\nnot told apart")
    names = (AXIS_LABELS.get(name, name) for name in (x, y))
    finish_squares(figure, panels, legend.beside(figure), *names)
    return figure


def channels(
    table: DataFrame, axes: Sequence[str], hue: str | None, style: str | None
) -> tuple[str, list[str], list[str]]:
    """Choose what colour and marker stand for.

    A choice of the caller's goes first. On the paper's grids they stand for n and ch; elsewhere for
    the first axis and for all others together, as long as there are markers enough.

    Returns:
        The setting shown by colour, those shown together by the marker, none for one marker, and
        the axes that are not told apart.
    """
    preferred = sorted(axes, key=lambda name: name not in PAPER_AXES)
    chosen = [name for name in (hue, style) if name]
    left = open_axes(table, preferred, chosen)
    if not chosen and set(PAPER_AXES) < set(left) and set(left) - set(PAPER_AXES) in PAPER_NOISE:
        return "n", ["ch"], [name for name in left if name not in PAPER_AXES]
    if hue is None:
        hue = left.pop(0) if left else next(iter(axes), "n")
    if style is not None:
        return hue, [style], left
    together = len(ordered_labels(combined(table, left))) <= len(MARKERS)
    return (hue, left, []) if together else (hue, left[:1], left[1:])


def panel_epochs(epochs: Mapping[float, PairStatistics] | Sequence[float]) -> list[float]:
    """Return the epochs to draw: all, or of many an even choice with the first and the last."""
    ordered = sorted(epochs)
    count = min(len(ordered), MAX_PANELS)
    chosen = np.linspace(0, len(ordered) - 1, count).round().astype(int)
    return [ordered[index] for index in chosen]


def panel_title(epoch: float, statistics: PairStatistics) -> str:
    """Return the title of a panel, such as ``epoch 20   c = 0.98``.

    A third decimal keeps a coefficient just short of 1 from reading 1.00.
    """
    c = statistics.pearson
    told = describe_epoch(epoch)
    place = f"epoch {told}" if told[0].isdigit() else told
    if math.isnan(c):
        return f"{place}   c undefined"
    number = f"{c:.{3 if abs(c) >= 0.995 else 2}f}".replace("-", "−")
    return f"{place}   c = {number}"


def _check_columns(table: DataFrame, names: Iterable[str]) -> None:
    missing = [name for name in names if name not in table]
    if missing:
        raise GsnrError(
            f"The runs have no {' and no '.join(missing)}. There is: {', '.join(table.columns)}."
        )


def _points_at(
    table: DataFrame, epoch: float, columns: Mapping[str, str], settings: Sequence[str] | None
) -> DataFrame:
    """Return the finite points of one epoch, each column under the name of its part in the figure.

    They come shuffled, always in the same way, so that no group covers another; with the name of
    their setting, if there are several runs of each.
    """
    rows = table[table["epoch"] == epoch]
    points = DataFrame({part: rows[column] for part, column in columns.items()})
    if settings is not None:
        points["setting"] = combined(rows, settings) if settings else "all"
    finite = np.isfinite(points[["x", "y"]].to_numpy()).all(axis=1)
    shuffled: DataFrame = points.loc[finite].sample(frac=1, random_state=0)
    return shuffled


def _means(points: DataFrame) -> DataFrame:
    """Return the mean point of each setting."""
    looks = {part: (part, "first") for part in ("hue", "style")}
    means: DataFrame = points.groupby("setting", sort=False).agg(
        x=("x", "mean"), y=("y", "mean"), **looks
    )
    return means


def _draw_points(
    panel: Axes, points: DataFrame, colors: Levels, markers: Levels, alpha: float
) -> None:
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
        s=(24 if len(points) <= 60 else 16) * (1.0 if alpha == _FULL else 0.5),
        linewidth=0.25,
        alpha=alpha,
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


def _set_limits(panel: Axes, points: DataFrame, compares: bool) -> None:
    """Set both axes' limits; where both sides of eq. (19) are compared the same, with LHS = RHS."""
    ends = [_extent(points, part) for part in ("x", "y")]
    if compares:
        ends = [(min(e[0] for e in ends), max(e[1] for e in ends))] * 2
    limits = []
    for low, high in ends:
        margin = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
        limits.append((low - margin, high + margin))
    set_limits(panel, *limits)
    if compares:
        panel.plot(limits[0], limits[0], **DIAGONAL, zorder=1)


def _extent(points: DataFrame, part: str) -> tuple[float, float]:
    """Return the smallest and the largest coordinate, error bars included."""
    if points.empty:
        return 0.0, 1.0
    bar = points[f"{part}_se"].fillna(0.0) if f"{part}_se" in points else 0.0
    return float((points[part] - bar).min()), float((points[part] + bar).max())


def _draw_fit(panel: Axes, points: DataFrame, statistics: PairStatistics) -> None:
    """Draw the lines over the panel's points: least squares, and with errors in both sides."""
    ends = points["x"].agg(["min", "max"]).to_numpy()
    if not math.isnan(statistics.slope):
        panel.plot(ends, statistics.intercept + statistics.slope * ends, **FIT, zorder=4)
    if not math.isnan(statistics.deming_slope):
        line = statistics.deming_intercept + statistics.deming_slope * ends
        panel.plot(ends, line, **DEMING, zorder=4)


def _legend(
    colors: Levels, markers: Levels | None, compares: bool, error_bars: bool, has_deming: bool
) -> Legend:
    """Name the colours, the markers if they differ, and the lines."""
    legend = Legend()
    legend.start(colors.heading())
    for label in colors.listed():
        legend.add(label, _point(color=colors.looks[label]))
    if markers:
        legend.start(markers.heading())
        for label in markers.listed() if markers.distinguished else ():
            legend.add(label, _point(color="0.35", marker=markers.looks[label]))
    legend.start()
    legend.add("least squares", Line2D([], [], **FIT))
    if has_deming:
        legend.add("Deming", Line2D([], [], **DEMING))
    if compares:
        legend.add("LHS = RHS", Line2D([], [], **DIAGONAL))
    if error_bars:
        legend.add("± 1 standard error", Line2D([], [], **ERROR_BAR))
    return legend


def _point(*, color: Any, marker: str = "o") -> Line2D:
    return Line2D(
        [], [], linestyle="none", marker=marker, color=color, markersize=5, markeredgewidth=0
    )
