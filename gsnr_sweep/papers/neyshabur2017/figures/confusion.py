"""Global minima that generalize poorly (Neyshabur et al. 2017, Fig. 3)."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from gsnr_sweep.analysis.analysis import Analysis
from gsnr_sweep.papers.neyshabur2017.figures.by_setting import draw_by_setting

SETTING = "data.confusion"


def draw_confusion(analysis: Analysis) -> Figure:
    """Draw errors, scaled measures and bi-criteria curves over the size of the confusion set.

    Args:
        analysis: The sweep's runs, over ``data.confusion``; see `draw_by_setting`.

    Raises:
        GsnrError: A column is missing, or no network is without a training error.
    """
    about = "# random labels"
    figure, panels, legend = draw_by_setting(analysis, "confusion", SETTING, about, "confusion")
    for axes in panels:
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    legend.below(figure)
    return figure
