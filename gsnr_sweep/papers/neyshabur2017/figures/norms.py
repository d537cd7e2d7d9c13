"""Norm measures over the size of the training set (Neyshabur et al. 2017, Fig. 1)."""

from __future__ import annotations

from dataclasses import replace

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator
from pandas import DataFrame

from gsnr_sweep.analysis.analysis import Analysis
from gsnr_sweep.papers.neyshabur2017.complexity_measures import NORMS, over_margin
from gsnr_sweep.papers.neyshabur2017.figures.rows import rows_of, say_left_out
from gsnr_sweep.papers.plotting import curves
from gsnr_sweep.papers.plotting.legend import Legend
from gsnr_sweep.papers.plotting.panels import letter, panels
from gsnr_sweep.papers.plotting.style import SIZES

SIZE = "training set size"


def draw_norms(analysis: Analysis) -> Figure:
    """Draw one panel a norm measure: the measure over γ² against n, a line a kind of labels.

    Args:
        analysis: The sweep's runs. Their table has ``log10_…_over_margin2``.

    Raises:
        GsnrError: A column is missing, or no network is without a training error.
    """
    columns = [over_margin(norm) for norm in NORMS]
    rows = rows_of(analysis, "norms", columns, ["n", curves.LABELS], "labels")
    legend = Legend()
    figure, grid = panels(len(rows), len(NORMS))
    for place, (line, row) in enumerate(zip(grid, rows, strict=True)):
        for index, (axes, (norm, name)) in enumerate(zip(line, NORMS.items(), strict=True)):
            values = 10 ** row.interpolating[over_margin(norm)]
            axes.set_yscale("log")
            draw_by_labels(axes, row.interpolating.assign(value=values), "value", legend)
            letter(axes, place * len(NORMS) + index, f"{name} / γ²")
            axes.set_ylabel(row.about if index == 0 else "", fontsize=SIZES["label"])
    curves.say_repeats(analysis, legend)
    say_left_out(analysis, legend)
    legend.below(figure)
    return figure


def draw_by_labels(axes: Axes, networks: DataFrame, column: str, legend: Legend) -> None:
    """Draw a column against n, a line a kind of labels."""
    lines = curves.Lines(networks, [curves.LABELS])
    for look, points in lines.groups(networks):
        curves.draw_mean(axes, points, column, replace(look, marker="o"), x="n")
    lines.add_to(legend)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlabel(SIZE, fontsize=SIZES["label"], labelpad=1)
    axes.set_ylabel("")
