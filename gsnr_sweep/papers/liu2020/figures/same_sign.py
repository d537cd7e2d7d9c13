"""Share of samples that agree in the sign of the gradient (Liu et al. 2020, Fig. 5c)."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from gsnr_sweep.analysis.analysis import Analysis
from gsnr_sweep.papers.liu2020.figures.by_labels import draw_by_labels
from gsnr_sweep.papers.plotting import curves


def draw_same_sign(analysis: Analysis) -> Figure:
    """Draw one panel a model: mean p_same_sign against the epoch, by kind of labels.

    Args:
        analysis: The sweep's runs. Their table has ``p_same_sign``.

    Raises:
        GsnrError: A column is missing.
    """
    curves.require(analysis.frame, ["p_same_sign"], "same_sign")
    figure, legend, drawn = draw_by_labels(analysis, "p_same_sign", "mean p_same_sign")
    for axes, _ in drawn:
        low, high = axes.get_ylim()
        decimals = 0 if high - low > 0.04 else 1
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=decimals))
    legend.below(figure)
    return figure
