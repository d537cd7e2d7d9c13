"""The style of all figures: sizes, colours, dashes, markers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from matplotlib.lines import Line2D

PANEL, WIDE_PANEL = (1.84, 1.65), (2.75, 1.9)
"""Width and height of a panel in inches: three, or two wide ones, fill a column of 5.5 inches."""
SQUARE_PANEL = {1: 3.0, 2: 2.25, 3: 2.1, 4: 2.1}
"""Width and height of a square panel with its title and tick labels, by the panels in a row."""
SIZES = {"title": 8.5, "label": 8.5, "tick": 7.0, "legend": 7.5}
LEGEND_LINE = 0.16
"""Inches that a line of the legend takes."""
DPI = 300

COLORS = (
    *("#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc"),
    *("#ca9161", "#fbafe4", "#949494", "#ece133", "#56b4e9"),
)
"""seaborn's palette "colorblind"."""
REAL, RANDOM = COLORS[0], COLORS[3]
DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "p", "h")
GUIDE: dict[str, Any] = {"color": "0.45", "linestyle": ":", "linewidth": 1.0}
"""A line across a panel that is no measurement."""


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
