"""Weights between W·g < 0 and W·g > 0, from a measured epoch to the next (Liu et al., 3.3)."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from gsnr_sweep.analysis.analysis import Analysis
from gsnr_sweep.papers.plotting import curves
from gsnr_sweep.papers.plotting.legend import Legend
from gsnr_sweep.papers.plotting.panels import letter, panels
from gsnr_sweep.papers.plotting.style import GUIDE, RANDOM, REAL, Look

if TYPE_CHECKING:
    from pandas import DataFrame, Series

PANELS = {
    "changed": ("W·g changed sign", "share"),
    "changed_by_g": ("by the gradient alone", "over chance"),
    "g_grew": ("|g| grew", "over chance"),
}
ORIGINS = {"_from_same": ("W·g > 0 before", RANDOM), "_from_opposite": ("W·g < 0 before", REAL)}
SETS = {"": ("all weights", "-"), "_top10": ("10 % of largest |W|", "--")}
CHANCE = "share among both, as by chance"


def draw_sign_transitions(analysis: Analysis) -> Figure:
    """Draw three panels in a row, a row for each kind of initial weights and what else was swept.

    Shares of the weights of either state at the measured epoch before: (a) whose state is the other
    one now; (b) of them those whose gradient changed its sign and whose weight did not, (c) whose
    |g| is larger now, both over the share among weights of either state, run by run: that is what
    signs of W that do not matter would give both. Of all weights, and the 10 % of largest |W|.

    Args:
        analysis: The sweep's runs. Their table has the metrics of the measure ``sign_transitions``.

    Raises:
        GsnrError: A column is missing.
    """
    frame = analysis.frame
    columns = [f"{name}{origin}{of}" for name in PANELS for origin in ("", *ORIGINS) for of in SETS]
    curves.require(frame, columns, "sign_transitions")
    frame = frame.assign(**_over_chance(frame))
    legend = Legend()
    rows = curves.chosen_rows(curves.rows_of(analysis, frame, "init"), legend)
    figure, grid = panels(len(rows), len(PANELS))
    for place, (row, (about, own)) in enumerate(zip(grid, rows, strict=True)):
        about = f"{about}\n" if about else ""
        for index, (axes, (name, (title, ylabel))) in enumerate(
            zip(row, PANELS.items(), strict=True)
        ):
            for (origin, (state, color)), (of, (which, dashes)) in product(
                ORIGINS.items(), SETS.items()
            ):
                look = Look(color, dashes)
                column = f"{name}{origin}{of}"
                curves.draw_mean(axes, own, f"{column} over chance" if index else column, look)
                legend.add(f"{state}, {which}", look.handle())
            letter(axes, len(PANELS) * place + index, title)
            ylabel = ylabel if index else about + ylabel
            curves.finish_axes(axes, ylabel, curves.is_log_scheduled(own))
            if index:
                axes.axhline(1, **GUIDE, zorder=1)
        row[0].yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        row[0].set_ylim(bottom=0)
    legend.add(CHANCE, Line2D([], [], **GUIDE))
    curves.say_repeats(analysis, legend)
    legend.below(figure)
    return figure


def _over_chance(frame: DataFrame) -> dict[str, Series[float]]:
    """Return shares of either state over that among both, by the name of their column."""
    return {
        f"{name}{origin}{of} over chance": frame[f"{name}{origin}{of}"]
        / frame[f"{name}{of}"].where(frame[f"{name}{of}"] > 0)
        for name in PANELS
        for origin in ORIGINS
        for of in SETS
    }
