"""Curves over training: what the figures of this kind have in common.

Epochs are drawn on a logarithmic axis with a linear start, so that epoch 0 has a place. Where
several runs share a line (seeds, say) it is their mean, with a band from the lowest to the highest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter, ScalarFormatter
from pandas import DataFrame

from gsnr_sweep.errors import GsnrError

PANEL, WIDE_PANEL = (1.84, 1.65), (2.75, 1.9)
"""Width and height of a panel in inches: three, or two wide ones, fill a column of 5.5 inches."""
SIZES = {"title": 8.5, "label": 8.5, "tick": 7.0, "legend": 7.5}
COLORS = sns.color_palette("colorblind", 10)
REAL, RANDOM = COLORS[0], COLORS[3]
LEGEND_LINE = 0.16
"""Inches that a line of the legend takes."""
GUIDE: dict[str, Any] = {"color": "0.45", "linestyle": ":", "linewidth": 1.0}


@dataclass(frozen=True)
class Look:
    """How one line is drawn.

    Attributes:
        color: Its colour.
        dashes: Matplotlib's line style.
        width: Points.
        marker: Marker at each measured epoch; empty for none.
    """

    color: Any
    dashes: Any = "-"
    width: float = 1.5
    marker: str = ""

    def handle(self) -> Line2D:
        """Return what stands for the line in a legend."""
        return Line2D(
            [],
            [],
            color=self.color,
            linestyle=self.dashes,
            linewidth=self.width,
            marker=self.marker,
            markersize=3,
        )


@dataclass
class Legend:
    """Entries of one legend for all panels, each once, in the order of their first use."""

    entries: dict[str, Any] = field(default_factory=dict)

    def add(self, label: str, handle: Any) -> None:
        """Add an entry unless there is one of this label."""
        self.entries.setdefault(label, handle)

    def draw(self, figure: Figure) -> None:
        """Put the legend below the panels, in as many columns as fit, and make room for it."""
        width = figure.get_figwidth()
        longest = max((len(label) for label in self.entries), default=1)
        columns = max(1, min(len(self.entries), int(width / (0.062 * longest + 0.45))))
        rows = math.ceil(len(self.entries) / columns)
        figure.set_figheight(figure.get_figheight() + LEGEND_LINE * (rows - 1))
        figure.legend(
            list(self.entries.values()),
            list(self.entries),
            loc="outside lower center",
            ncols=columns,
            fontsize=SIZES["legend"],
            frameon=False,
            handlelength=2.0,
            columnspacing=1.2,
        )


def panels(rows: int, columns: int, panel: tuple[float, float] = PANEL) -> tuple[Figure, Any]:
    """Make rows × columns empty panels; return them as an array [rows, columns]."""
    figure = Figure(
        figsize=(columns * panel[0], rows * panel[1] + 0.35), layout="constrained", dpi=100
    )
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[:].set_linewidth(0.7)
        axes.tick_params(labelsize=SIZES["tick"], length=2.5, width=0.6, pad=2, which="both")
    return figure, grid


def letter(axes: Axes, index: int, title: str) -> None:
    """Title a panel with its letter, as papers do: (a), (b), …."""
    name = f"({chr(ord('a') + index)}) {title}" if index >= 0 else title
    axes.set_title(name, fontsize=SIZES["title"], loc="left", pad=4)


def draw_mean(axes: Axes, points: DataFrame, y: str, look: Look) -> None:
    """Draw the mean over runs of column `y` against ``epoch``, with the range of the runs."""
    known = points[["epoch", y]].dropna()
    marker = look.marker or ("o" if known["epoch"].nunique() == 1 else None)
    sns.lineplot(
        known,
        x="epoch",
        y=y,
        color=look.color,
        linestyle=look.dashes,
        linewidth=look.width,
        marker=marker,
        markersize=4,
        markeredgewidth=0,
        errorbar=("pi", 100),
        err_kws={"linewidth": 0, "alpha": 0.18},
        legend=False,
        ax=axes,
    )


def finish_axes(axes: Axes, ylabel: str, log_epochs: bool = True) -> None:
    """Label and scale the axes of one panel."""
    drawn = [line for line in axes.lines if line.get_linestyle() != GUIDE["linestyle"]]
    epochs = {float(x) for line in drawn for x in np.asarray(line.get_xdata())}
    if len(epochs) == 1:
        axes.set_xticks(list(epochs))
    elif log_epochs:
        axes.set_xscale("symlog", linthresh=1, linscale=0.35)
        axes.xaxis.set_minor_formatter(NullFormatter())
        formatter = ScalarFormatter(useOffset=False)
        formatter.set_scientific(False)
        axes.xaxis.set_major_formatter(formatter)
        axes.set_xlim(left=0)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.set_xlabel("epoch", fontsize=SIZES["label"], labelpad=1)
    axes.set_ylabel(ylabel, fontsize=SIZES["label"], labelpad=2)


def is_log_scheduled(frame: DataFrame) -> bool:
    """Tell whether the measured epochs thin out as they grow, so that a log axis suits them."""
    epochs = sorted(frame["epoch"].unique())
    later = [b - a for a, b in pairwise(epochs)]
    return len(later) > 2 and max(later) > 4 * min(later)


def require(frame: DataFrame, names: Sequence[str], figure: str) -> None:
    """Refuse a table that lacks what a figure shows.

    Raises:
        GsnrError: A column is missing, or has no finite value.
    """
    missing = [name for name in names if name not in frame or frame[name].isna().all()]
    if missing:
        raise GsnrError(
            f"The figure {figure} needs {', '.join(missing)}, which these runs did not measure. "
            "Launch them with the experiment's own measures (experiment=…)."
        )


def label_kind(p_random: float) -> str:
    """Name the labels of a run as the paper does."""
    if p_random == 0:
        return "real labels"
    return "random labels" if p_random == 1 else f"p_random = {p_random:g}"


def label_looks(values: Sequence[float]) -> dict[float, Look]:
    """Give each p_random its look: dashes too, for those who see no colours."""
    ordered = sorted(values)
    dashes: list[Any] = ["-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1))]
    if set(ordered) <= {0.0, 1.0}:
        colors = [RANDOM if value else REAL for value in ordered]
        dashes = ["--" if value else "-" for value in ordered]
    else:
        scale = sns.color_palette("viridis", as_cmap=True)
        colors = [scale(0.88 * i / max(len(ordered) - 1, 1)) for i in range(len(ordered))]
    return {value: Look(colors[i], dashes[i % len(dashes)]) for i, value in enumerate(ordered)}
