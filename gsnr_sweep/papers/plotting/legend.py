"""The one legend of a figure, below its panels or beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, Literal

from matplotlib import legend as mpl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from seaborn.utils import adjust_legend_subtitles

from gsnr_sweep.papers.plotting.style import LEGEND_LINE, SIZES

Entry = tuple[str, Any]
Place = Literal["outside lower center", "outside right upper"]


class Legend:
    """Entries of one legend for all panels, in blocks, in the order of their first use."""

    def __init__(self) -> None:
        """Make an empty legend."""
        self._blocks: list[list[Entry]] = [[]]

    def add(self, label: str, handle: Any) -> None:
        """Add an entry to the present block unless it has one of this label."""
        if all(label != known for known, _ in self._blocks[-1]):
            self._blocks[-1].append((label, handle))

    def start(self, heading: str = "") -> None:
        """Start a block, under a heading if there is one."""
        self._blocks.append([(heading, _nothing())] if heading else [])

    def say(self, text: str) -> None:
        """Add a line that stands for nothing drawn."""
        self.add(text, _nothing())

    def below(self, figure: Figure) -> None:
        """Put the legend below the panels, in as many columns as fit, and make room for it."""
        entries = [entry for block in self._blocks for entry in block]
        longest = max((len(label) for label, _ in entries), default=1)
        fitting = int(figure.get_figwidth() / (0.062 * longest + 0.45))
        columns = max(1, min(len(entries), fitting))
        rows = math.ceil(len(entries) / columns)
        figure.set_figheight(figure.get_figheight() + LEGEND_LINE * (rows - 1))
        _put(figure, entries, columns, "outside lower center", handlelength=2.0, columnspacing=1.2)

    def beside(self, figure: Figure) -> mpl.Legend:
        """Put the legend to the right of all panels.

        Where the figure is too low for all entries below each other, all blocks but the first
        stand in a second column.
        """
        first, *others = [block for block in self._blocks if block]
        rest = _joined(others)
        columns = [_joined([first, rest])] if rest else [first]
        if len(columns[0]) * LEGEND_LINE > figure.get_figheight() and rest:
            columns = [first, rest]
        lines = max(sum(1 + label.count("\n") for label, _ in column) for column in columns)
        figure.set_figheight(max(figure.get_figheight(), lines * LEGEND_LINE))
        look = {"handlelength": 1.6, "columnspacing": 1.0, "borderaxespad": 0.2}
        entries = _side_by_side(columns)
        legend = _put(figure, entries, len(columns), "outside right upper", **look)
        adjust_legend_subtitles(legend)
        return legend


def _put(
    figure: Figure, entries: Sequence[Entry], columns: int, place: Place, **look: float
) -> mpl.Legend:
    return figure.legend(
        [handle for _, handle in entries],
        [label for label, _ in entries],
        loc=place,
        ncols=columns,
        fontsize=SIZES["legend"],
        frameon=False,
        **look,
    )


def _nothing() -> Line2D:
    return Line2D([], [], linestyle="none", visible=False)


def _joined(blocks: Sequence[Sequence[Entry]]) -> list[Entry]:
    """Put blocks below each other with an empty line between them."""
    return [
        entry
        for place, block in enumerate(blocks)
        for entry in (*([("", _nothing())] if place else []), *block)
    ]


def _side_by_side(columns: Sequence[Sequence[Entry]]) -> list[Entry]:
    """Fill the shorter columns up, for a legend breaks its entries into columns of one length."""
    rows = zip_longest(*columns, fillvalue=None)
    filled = [[("", _nothing()) if entry is None else entry for entry in row] for row in rows]
    return [row[column] for column in range(len(columns)) for row in filled]
