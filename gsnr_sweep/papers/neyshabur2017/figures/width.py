"""Networks of different width (Neyshabur et al. 2017, Fig. 4)."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from gsnr_sweep.analysis.analysis import Analysis
from gsnr_sweep.papers.neyshabur2017.figures.by_setting import draw_by_setting


def draw_width(analysis: Analysis) -> Figure:
    """Draw errors, scaled measures and bi-criteria curves over the width, on a logarithmic axis.

    Args:
        analysis: The sweep's runs, over ``ch``; see `draw_by_setting`.

    Raises:
        GsnrError: A column is missing, or no network is without a training error.
    """
    figure, panels, legend = draw_by_setting(analysis, "width", "ch", "hidden units", "width")
    for axes in panels:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_locator(LogLocator(base=4, numticks=8))
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_formatter(NullFormatter())
    legend.below(figure)
    return figure
