"""Share of samples that agree in the sign of the gradient (Liu et al. 2020, Fig. 5c)."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from pandas import DataFrame

from gsnr_sweep.figures import curves
from gsnr_sweep.figures.curves import Legend
from gsnr_sweep.figures.gsnr_curves import TITLES


def draw_same_sign(frame: DataFrame, arrays: DataFrame) -> Figure:
    """Draw one panel a model: mean p_same_sign against the epoch, by kind of labels.

    Args:
        frame: One row a run and epoch with ``epoch``, ``model``, ``p_random``, ``p_same_sign``.
        arrays: Not used.

    Raises:
        GsnrError: A column is missing.
    """
    del arrays
    curves.require(frame, ["p_same_sign"], "same_sign")
    models = list(dict.fromkeys(frame["model"]))
    figure, grid = curves.panels(1, len(models), curves.WIDE_PANEL)
    legend, looks = Legend(), curves.label_looks(list(frame["p_random"].unique()))
    for index, (axes, model) in enumerate(zip(grid[0], models, strict=True)):
        own = frame[frame["model"] == model]
        for p_random, look in looks.items():
            points = own[own["p_random"] == p_random]
            if not points.empty:
                curves.draw_mean(axes, points, "p_same_sign", look)
                legend.add(curves.label_kind(p_random), look.handle())
        curves.letter(axes, index if len(models) > 1 else -1, TITLES.get(model, model))
        curves.finish_axes(axes, "mean p_same_sign", curves.is_log_scheduled(own))
        low, high = axes.get_ylim()
        decimals = 0 if high - low > 0.04 else 1
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=decimals))
    legend.draw(figure)
    return figure
