"""Mean GSNR over training for real and random labels (Liu et al. 2020, Fig. 5a and b)."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gsnr_sweep.analysis.analysis import Analysis
from gsnr_sweep.papers.liu2020.figures.by_labels import draw_by_labels
from gsnr_sweep.papers.plotting import curves
from gsnr_sweep.papers.plotting.style import GUIDE


def draw_gsnr_curves(analysis: Analysis) -> Figure:
    """Draw one panel a model: mean GSNR of all parameters (eq. 25) against the epoch.

    The dotted line is the floor 1/n on which the plug-in estimate sits without any signal.

    Args:
        analysis: The sweep's runs. Their table has ``epoch``, ``model``, ``p_random``, ``n`` and
            ``gsnr_mean``.

    Raises:
        GsnrError: A column is missing.
    """
    return _drawn(analysis, "gsnr_curves")


def draw_shallow_gsnr(analysis: Analysis) -> Figure:
    """Draw the same with a logarithmic ordinate: shallow models fall by orders of magnitude.

    Args:
        analysis: The sweep's runs.

    Raises:
        GsnrError: A column is missing.
    """
    return _drawn(analysis, "shallow_gsnr", log=True)


def _drawn(analysis: Analysis, name: str, log: bool = False) -> Figure:
    curves.require(analysis.frame, ["gsnr_mean"], name)
    figure, legend, drawn = draw_by_labels(analysis, "gsnr_mean", "mean GSNR")
    for axes, own in drawn:
        for n in sorted(own["n"].unique()):
            axes.axhline(1 / n, **GUIDE, zorder=1)
        if log:
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
    legend.add("floor 1/n of the estimate", Line2D([], [], **GUIDE))
    legend.below(figure)
    return figure
