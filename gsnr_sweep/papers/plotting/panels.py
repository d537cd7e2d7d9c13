"""A grid of square panels with one legend and one label an axis, and how it is written to disk."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.ticker import MaxNLocator, ScalarFormatter
from matplotlib.transforms import Bbox

PANEL_INCHES = {1: 3.0, 2: 2.25, 3: 2.1, 4: 2.1}
"""Width and height of one panel with its title and tick labels, by the panels in a row."""
LABEL_SIZE = 8.5
LABEL_GAP = 0.06
"""Inches between tick labels and an axis label."""
MAX_TICK_CHARACTERS = 24
"""Characters that all tick labels of an axis may have together without touching each other."""
DPI = 300


def panel_grid(count: int) -> tuple[Figure, list[Axes]]:
    """Make `count` empty square panels: up to three in one row, else as square as four allow."""
    columns = count if count <= 3 else min(4, math.ceil(math.sqrt(count)))
    rows = math.ceil(count / columns)
    inches = PANEL_INCHES[columns]
    figure = Figure(figsize=(columns * inches, rows * inches), layout="compressed")
    panels = [figure.add_subplot(rows, columns, i + 1, box_aspect=1) for i in range(count)]
    for panel in panels:
        panel.spines[:].set_linewidth(0.7)
        panel.tick_params(labelsize=7, length=2.5, width=0.6, pad=2)
    return figure, panels


def set_equal_axes(panel: Axes, limits: tuple[float, float]) -> None:
    """Give both axes the same limits and the same ticks, as many as their labels have room."""
    panel.set(xlim=limits, ylim=limits, xlabel="", ylabel="")
    for count in (5, 4, 3, 2):
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_locator(MaxNLocator(count, steps=[1, 2, 5, 10], min_n_ticks=2))
            axis.set_major_formatter(ScalarFormatter(useOffset=False))
        ticks = [t for t in panel.xaxis.get_majorticklocs() if limits[0] <= t <= limits[1]]
        labels = panel.xaxis.get_major_formatter().format_ticks(ticks)
        if sum(map(len, labels)) <= MAX_TICK_CHARACTERS:
            return


def finish_grid(
    figure: Figure, panels: Sequence[Axes], legend: Legend, xlabel: str, ylabel: str
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
    frames = Bbox.union([panel.get_window_extent() for panel in panels]).transformed(inches)
    boxes = [box for panel in panels if (box := panel.get_tightbbox())]
    whole = Bbox.union(boxes).transformed(inches)
    width, height = figure.get_size_inches()
    figure.supxlabel(
        xlabel,
        x=(frames.x0 + frames.x1) / 2 / width,
        y=(whole.y0 - LABEL_GAP) / height,
        va="top",
        fontsize=LABEL_SIZE,
    )
    figure.supylabel(
        ylabel,
        x=(whole.x0 - LABEL_GAP) / width,
        y=(frames.y0 + frames.y1) / 2 / height,
        ha="right",
        fontsize=LABEL_SIZE,
    )


def save_figure(figure: Figure, folder: Path, stem: str) -> list[Path]:
    """Write a figure as PNG and as PDF with embedded fonts, cropped; return both paths."""
    paths = [folder / f"{stem}.png", folder / f"{stem}.pdf"]
    with mpl.rc_context({"pdf.fonttype": 42}):
        for path in paths:
            figure.savefig(path, dpi=DPI, bbox_inches="tight", pad_inches=0.04)
    return paths
