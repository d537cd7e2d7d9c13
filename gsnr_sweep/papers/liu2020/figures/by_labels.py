"""One metric over training, by kind of labels, a panel a model (Liu et al. 2020, Fig. 5)."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame

from gsnr_sweep.analysis.analysis import Analysis
from gsnr_sweep.analysis.axes import open_axes
from gsnr_sweep.papers.plotting import curves
from gsnr_sweep.papers.plotting.legend import Legend
from gsnr_sweep.papers.plotting.levels import named
from gsnr_sweep.papers.plotting.panels import letter, panels
from gsnr_sweep.papers.plotting.style import WIDE_PANEL


def draw_by_labels(
    analysis: Analysis, metric: str, ylabel: str
) -> tuple[Figure, Legend, list[tuple[Axes, DataFrame]]]:
    """Draw a metric; the caller adds what is its own and draws the legend.

    Args:
        analysis: The sweep's runs. Their table has `metric`.
        metric: Column of the ordinate.
        ylabel: Its name.

    Returns:
        The figure, its legend, and each panel with the rows drawn in it.
    """
    frame = analysis.frame
    models = list(frame.groupby("model", sort=False, dropna=False))
    figure, grid = panels(1, len(models), WIDE_PANEL)
    legend = Legend()
    lines = curves.Lines(frame, open_axes(frame, curves.single_axes(analysis), ["model"]))
    drawn = []
    for index, (axes, (model, own)) in enumerate(zip(grid[0], models, strict=True)):
        for look, points in lines.groups(own):
            curves.draw_mean(axes, points, metric, look)
        letter(axes, index if len(models) > 1 else -1, named("model", str(model)))
        curves.finish_axes(axes, ylabel, curves.is_log_scheduled(own))
        drawn.append((axes, own))
    lines.add_to(legend)
    curves.say_repeats(analysis, legend)
    return figure, legend, drawn
