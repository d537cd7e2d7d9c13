"""Share of samples that agree in the sign of the gradient (Liu et al. 2020, Fig. 5c)."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from pandas import DataFrame

from gsnr_sweep.papers.liu2020.figures.by_labels import draw_by_labels
from gsnr_sweep.papers.plotting import curves


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
    figure, legend, drawn = draw_by_labels(frame, "p_same_sign", "mean p_same_sign")
    for axes, _ in drawn:
        low, high = axes.get_ylim()
        decimals = 0 if high - low > 0.04 else 1
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=decimals))
    legend.draw(figure)
    return figure
