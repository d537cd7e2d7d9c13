"""Mean GSNR over training for real and random labels (Liu et al. 2020, Fig. 5a and b)."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from pandas import DataFrame

from gsnr_sweep.figures import curves
from gsnr_sweep.figures.curves import Legend

TITLES = {
    "table2_cnn": "simple CNN",
    "table3_cnn": "CNN with batch norm.",
    "resnet18": "ResNet18",
    "mlp": "MLP",
}


def draw_gsnr_curves(frame: DataFrame, arrays: DataFrame) -> Figure:
    """Draw one panel a model: mean GSNR of all parameters (eq. 25) against the epoch.

    The dotted line is the floor 1/n on which the plug-in estimate sits without any signal.

    Args:
        frame: One row a run and epoch with ``epoch``, ``model``, ``p_random``, ``n`` and
            ``gsnr_mean``.
        arrays: Not used.

    Raises:
        GsnrError: A column is missing.
    """
    del arrays
    curves.require(frame, ["gsnr_mean"], "gsnr_curves")
    models = list(dict.fromkeys(frame["model"]))
    figure, grid = curves.panels(1, len(models), curves.WIDE_PANEL)
    legend, looks = Legend(), curves.label_looks(list(frame["p_random"].unique()))
    for index, (axes, model) in enumerate(zip(grid[0], models, strict=True)):
        own = frame[frame["model"] == model]
        for p_random, look in looks.items():
            points = own[own["p_random"] == p_random]
            if not points.empty:
                curves.draw_mean(axes, points, "gsnr_mean", look)
                legend.add(curves.label_kind(p_random), look.handle())
        for n in sorted(own["n"].unique()):
            axes.axhline(1 / n, **curves.GUIDE, zorder=1)
        axes.set_ylim(bottom=0)
        curves.letter(axes, index if len(models) > 1 else -1, TITLES.get(model, model))
        curves.finish_axes(axes, "mean GSNR", curves.is_log_scheduled(own))
    legend.add("floor 1/n of the estimate", Line2D([], [], **curves.GUIDE))
    legend.draw(figure)
    return figure
