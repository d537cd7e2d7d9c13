"""One legend beside a grid of panels: colours, markers and lines, each under its heading."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from seaborn.utils import adjust_legend_subtitles

from gsnr_sweep.papers.plotting.levels import Levels

FONT_SIZE = 7.5
LINE_HEIGHT = 0.155
"""Inches that one line of the legend takes."""

Entry = tuple[Line2D, str]


def add_legend(figure: Figure, colors: Levels, markers: Levels, lines: Sequence[Entry]) -> Legend:
    """Put one legend to the right of all panels.

    Args:
        figure: Figure with constrained or compressed layout.
        colors: What the colours stand for.
        markers: What the markers stand for.
        lines: Handles and labels of the lines. Where the figure is too low for all entries below
            each other, those of markers and lines stand in a second column.
    """
    first, second = _color_entries(colors), _marker_entries(markers)
    if (len(first) + len(second) + len(lines) + 2) * LINE_HEIGHT <= figure.get_figheight():
        columns = [[*first, _blank(), *second, _blank(), *lines]]
    else:
        columns = [first, [*second, _blank(), *lines]]
    entries = _side_by_side(columns)
    legend = figure.legend(
        [handle for handle, _ in entries],
        [label for _, label in entries],
        loc="outside right upper",
        ncols=len(columns),
        fontsize=FONT_SIZE,
        frameon=False,
        handlelength=1.6,
        columnspacing=1.0,
        borderaxespad=0.2,
    )
    adjust_legend_subtitles(legend)
    return legend


def _color_entries(levels: Levels) -> list[Entry]:
    return [_heading(levels)] + [
        (_point(color=levels.looks[label]), label) for label in levels.listed()
    ]


def _marker_entries(levels: Levels) -> list[Entry]:
    if not levels.distinguished:
        return [_heading(levels)]
    return [_heading(levels)] + [
        (_point(color="0.35", marker=levels.looks[label]), label) for label in levels.listed()
    ]


def _point(*, color: Any, marker: str = "o") -> Line2D:
    return Line2D(
        [], [], linestyle="none", marker=marker, color=color, markersize=5, markeredgewidth=0
    )


def _heading(levels: Levels) -> Entry:
    return Line2D([], [], linestyle="none", visible=False), levels.heading()


def _blank() -> Entry:
    return Line2D([], [], linestyle="none", visible=False), ""


def _side_by_side(columns: Sequence[Sequence[Entry]]) -> list[Entry]:
    """Fill the shorter columns up, for a legend breaks its entries into columns of one length."""
    rows = zip_longest(*columns, fillvalue=None)
    filled = [[_blank() if entry is None else entry for entry in row] for row in rows]
    return [row[column] for column in range(len(columns)) for row in filled]
