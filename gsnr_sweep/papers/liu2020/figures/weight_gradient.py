"""Weights against the change and the sign of their gradients (Liu et al. 2020, Fig. 7)."""

from __future__ import annotations

from itertools import cycle

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from pandas import DataFrame

from gsnr_sweep.analysis.analysis import Analysis
from gsnr_sweep.papers.plotting import curves
from gsnr_sweep.papers.plotting.legend import Legend
from gsnr_sweep.papers.plotting.panels import letter, panels
from gsnr_sweep.papers.plotting.style import GUIDE, RANDOM, REAL, WIDE_PANEL, Look

SETS = {"": ("all weights", REAL), "_top10": ("10 % of largest |W|", RANDOM)}
LAYER_DASHES = ["--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3))]


def draw_weight_gradient(analysis: Analysis) -> Figure:
    """Draw two panels in a row, a row for each kind of initial weights and what else was swept.

    Left: correlation of Δg with W; right: share of weights with W·g < 0; each for all weights and
    for the 10 % of largest absolute value, of all layers together (thick) and of each (thin).

    Args:
        analysis: The sweep's runs. Their table has the metrics of the measure ``weight_gradient``.

    Raises:
        GsnrError: A column is missing.
    """
    frame = analysis.frame
    curves.require(frame, ["corr_dg_w", "opposite_sign"], "weight_gradient")
    legend = Legend()
    rows = curves.chosen_rows(curves.rows_of(analysis, frame, "init"), legend)
    figure, grid = panels(len(rows), 2, WIDE_PANEL)
    for place, (row, (about, own)) in enumerate(zip(grid, rows, strict=True)):
        about = f"{about}\n" if about else ""
        for index, (axes, name) in enumerate(zip(row, ("corr_dg_w", "opposite_sign"), strict=True)):
            _draw_layers(axes, own, name, legend)
            title = ("correlation of Δg and W", "weights with W·g < 0")[index]
            letter(axes, 2 * place + index, title)
            ylabel = ("Pearson", "share")[index]
            ylabel = ylabel if index else about + ylabel
            curves.finish_axes(axes, ylabel, curves.is_log_scheduled(own))
        row[0].axhline(0, **GUIDE, zorder=1)
        row[1].axhline(0.5, **GUIDE, zorder=1)
        row[1].yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    curves.say_repeats(analysis, legend)
    legend.below(figure)
    return figure


def _draw_layers(axes: Axes, own: DataFrame, name: str, legend: Legend) -> None:
    for suffix, (text, color) in SETS.items():
        start = f"{name}{suffix}/"
        layers = [column for column in own.columns if column.startswith(start)]
        for layer, dashes in zip(layers, cycle(LAYER_DASHES), strict=False):
            look = Look(color, dashes, 0.8)
            curves.draw_mean(axes, own, layer, look)
            legend.add(f"{layer.removeprefix(start)} alone", Look("0.35", dashes, 0.8).handle())
        look = Look(color, "-", 2.0)
        curves.draw_mean(axes, own, f"{name}{suffix}", look)
        legend.add(text, look.handle())
