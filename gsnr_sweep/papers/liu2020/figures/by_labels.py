"""One metric over training, by kind of labels, a panel a model (Liu et al. 2020, Fig. 5)."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame

from gsnr_sweep.papers.plotting import curves
from gsnr_sweep.papers.plotting.curves import Legend

TITLES = {
    "table2_cnn": "simple CNN",
    "table3_cnn": "CNN with batch norm.",
    "resnet18": "ResNet18",
    "mlp": "MLP",
}


def draw_by_labels(
    frame: DataFrame, metric: str, ylabel: str
) -> tuple[Figure, Legend, list[tuple[Axes, DataFrame]]]:
    """Draw the mean over runs of a metric; the caller adds what is its own and draws the legend.

    Args:
        frame: One row a run and epoch with ``epoch``, ``model``, ``p_random`` and `metric`.
        metric: Column of the ordinate.
        ylabel: Its name.

    Returns:
        The figure, its legend, and each panel with the rows drawn in it.
    """
    models = list(dict.fromkeys(frame["model"]))
    figure, grid = curves.panels(1, len(models), curves.WIDE_PANEL)
    legend, looks = Legend(), curves.label_looks(list(frame["p_random"].unique()))
    drawn = []
    for index, (axes, model) in enumerate(zip(grid[0], models, strict=True)):
        own = frame[frame["model"] == model]
        for p_random, look in looks.items():
            points = own[own["p_random"] == p_random]
            if not points.empty:
                curves.draw_mean(axes, points, metric, look)
                legend.add(curves.label_kind(p_random), look.handle())
        curves.letter(axes, index if len(models) > 1 else -1, TITLES.get(model, model))
        curves.finish_axes(axes, ylabel, curves.is_log_scheduled(own))
        drawn.append((axes, own))
    return figure, legend, drawn
