"""The empty panels of a figure, its axis labels, and how it is written to disk."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.ticker import MaxNLocator, ScalarFormatter
from matplotlib.transforms import Bbox

from gsnr_sweep.papers.plotting.style import DPI, PANEL, SIZES, SQUARE_PANEL
from gsnr_sweep.records.atomic import replace_file

LABEL_GAP = 0.06
"""Inches between tick labels and an axis label."""
MAX_TICK_CHARACTERS = 24
"""Characters that all tick labels of an axis may have together without touching each other."""


def panels(rows: int, columns: int, panel: tuple[float, float] = PANEL) -> tuple[Figure, Any]:
    """Make rows × columns empty panels; return them as an array [rows, columns]."""
    figure = Figure(
        figsize=(columns * panel[0], rows * panel[1] + 0.35), layout="constrained", dpi=100
    )
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.spines[["top", "right"]].set_visible(False)
        _thin(axes)
    return figure, grid


def square_panels(count: int) -> tuple[Figure, list[Axes]]:
    """Make `count` empty square panels: up to three in one row, else as square as four allow."""
    columns = count if count <= 3 else min(4, math.ceil(math.sqrt(count)))
    rows = math.ceil(count / columns)
    inches = SQUARE_PANEL[columns]
    figure = Figure(figsize=(columns * inches, rows * inches), layout="compressed")
    squares = [figure.add_subplot(rows, columns, i + 1, box_aspect=1) for i in range(count)]
    for axes in squares:
        _thin(axes)
    return figure, squares


def _thin(axes: Axes) -> None:
    axes.spines[:].set_linewidth(0.7)
    axes.tick_params(labelsize=SIZES["tick"], length=2.5, width=0.6, pad=2, which="both")


def letter(axes: Axes, index: int, title: str) -> None:
    """Title a panel with its letter, as papers do: (a), (b), …; no letter below 0."""
    name = f"({_letters(index)}) {title}" if index >= 0 else title
    axes.set_title(name, fontsize=SIZES["title"], loc="left", pad=4)


def _letters(index: int) -> str:
    """Return a to z, then aa, ab, …."""
    before = _letters(index // 26 - 1) if index >= 26 else ""
    return before + chr(ord("a") + index % 26)


def percent(share: float, _place: int | None = None) -> str:
    """Write a share as a tick label: 0.125 as ``12.5%``, with no more decimals than it needs."""
    return f"{100 * share:.3g}%"


def set_limits(axes: Axes, xlim: tuple[float, float], ylim: tuple[float, float]) -> None:
    """Set both axes' limits, and as many ticks as their labels have room."""
    axes.set(xlim=xlim, ylim=ylim, xlabel="", ylabel="")
    for count in (5, 4, 3, 2):
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(count, steps=[1, 2, 5, 10], min_n_ticks=2))
            axis.set_major_formatter(ScalarFormatter(useOffset=False))
        ticks = [t for t in axes.xaxis.get_majorticklocs() if xlim[0] <= t <= xlim[1]]
        labels = axes.xaxis.get_major_formatter().format_ticks(ticks)
        if sum(map(len, labels)) <= MAX_TICK_CHARACTERS:
            return


def finish_squares(
    figure: Figure, squares: Sequence[Axes], legend: Legend, xlabel: str, ylabel: str
) -> None:
    """Widen the figure by its legend, fix the layout and label both axes once.

    The labels are centred on the panels, not on panels and legend together, and stand close to the
    tick labels.
    """
    beside = legend.get_window_extent().width / figure.dpi + 0.1
    figure.set_figwidth(figure.get_figwidth() + beside)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    inches = figure.dpi_scale_trans.inverted()
    frames = Bbox.union([axes.get_window_extent() for axes in squares]).transformed(inches)
    boxes = [box for axes in squares if (box := axes.get_tightbbox())]
    whole = Bbox.union(boxes).transformed(inches)
    width, height = figure.get_size_inches()
    figure.supxlabel(
        xlabel,
        x=(frames.x0 + frames.x1) / 2 / width,
        y=(whole.y0 - LABEL_GAP) / height,
        va="top",
        fontsize=SIZES["label"],
    )
    figure.supylabel(
        ylabel,
        x=(whole.x0 - LABEL_GAP) / width,
        y=(frames.y0 + frames.y1) / 2 / height,
        ha="right",
        fontsize=SIZES["label"],
    )


def save_figure(figure: Figure, folder: Path, stem: str) -> list[Path]:
    """Write a figure as PNG and as PDF with embedded fonts, cropped; return both paths."""
    paths = [folder / f"{stem}.png", folder / f"{stem}.pdf"]
    with mpl.rc_context({"pdf.fonttype": 42}):
        for path in paths:
            save = partial(figure.savefig, dpi=DPI, bbox_inches="tight", pad_inches=0.04)
            replace_file(path, save)
    return paths
