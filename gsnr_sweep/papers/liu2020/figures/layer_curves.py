"""Mean GSNR of each layer over training (eq. 25)."""

from __future__ import annotations

import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gsnr_sweep.analysis.analysis import Analysis
from gsnr_sweep.papers.plotting import curves
from gsnr_sweep.papers.plotting.legend import Legend
from gsnr_sweep.papers.plotting.levels import labels_of, named
from gsnr_sweep.papers.plotting.panels import letter, panels
from gsnr_sweep.papers.plotting.style import GUIDE, WIDE_PANEL, Look

PREFIX = "gsnr_mean/"
MOST_NAMED = 12
"""Layers with an entry each in the legend; of more, only the first and the last have one."""


def draw_layer_curves(analysis: Analysis) -> Figure:
    """Draw a row of panels a model, a panel for each kind of labels, a line a layer.

    What else was swept has rows of its own. Colours go from the first layer (dark) to the last
    (light).

    Args:
        analysis: The sweep's runs. Their table has ``epoch``, ``model``, ``p_random``, ``n`` and
            ``gsnr_mean/LAYER``.

    Raises:
        GsnrError: A column is missing.
    """
    frame = analysis.frame
    every = [c for c in frame.columns if c.startswith(PREFIX)]
    curves.require(frame, every or [f"{PREFIX}LAYER"], "layer_curves")
    labels, legend = sorted(frame["p_random"].unique()), Legend()
    rows = curves.chosen_rows(curves.rows_of(analysis, frame, "model", ["p_random"]), legend)
    figure, grid = panels(len(rows), len(labels), WIDE_PANEL)
    for place, (row, (about, own)) in enumerate(zip(grid, rows, strict=True)):
        model = named("model", str(own["model"].iloc[0]))
        about = about or model
        layers = [c for c in every if own[c].notna().any()]
        colors = sns.color_palette("viridis", len(layers))
        for index, (axes, p_random) in enumerate(zip(row, labels, strict=True)):
            points = own[own["p_random"] == p_random]
            for rank, (layer, color) in enumerate(zip(layers, colors, strict=True)):
                look = Look(color, "-", 1.1)
                if not points.empty:
                    curves.draw_mean(axes, points, layer, look)
                if len(layers) <= MOST_NAMED or rank in (0, len(layers) - 1):
                    owner = f"{model}: " if frame["model"].nunique() > 1 else ""
                    legend.add(owner + layer.removeprefix(PREFIX), look.handle())
            for n in sorted(points["n"].unique()):
                axes.axhline(1 / n, **GUIDE, zorder=1)
            axes.set_ylim(bottom=0)
            kind = named("p_random", *labels_of([p_random]))
            letter(axes, len(labels) * place + index, f"{about}, {kind}")
            curves.finish_axes(axes, "mean GSNR of a layer", curves.is_log_scheduled(own))
    legend.add("floor 1/n of the estimate", Line2D([], [], **GUIDE))
    curves.say_repeats(analysis, legend)
    legend.below(figure)
    return figure
