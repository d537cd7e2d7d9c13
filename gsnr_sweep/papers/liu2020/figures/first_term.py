"""How much of Δg the first term of eq. (28) explains (Liu et al. 2020, 3.3 and B)."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from pandas import DataFrame

from gsnr_sweep.analysis.analysis import Analysis
from gsnr_sweep.papers.plotting import curves
from gsnr_sweep.papers.plotting.legend import Legend
from gsnr_sweep.papers.plotting.panels import letter, panels
from gsnr_sweep.papers.plotting.style import COLORS, GUIDE, Look

PANELS = {
    "first_term_same_sign": ("same sign", "share", 0.5),
    "first_term_corr": ("correlation", "Pearson", 0.0),
    "first_term_size": ("size, of Σ |Δg|", "ratio", None),
}


def draw_first_term(analysis: Analysis) -> Figure:
    """Draw three panels: sign, correlation and size of the term against the whole Δg, by layer.

    Args:
        analysis: The sweep's runs. Their table has the metrics of the measure ``first_term``.

    Raises:
        GsnrError: A column is missing.
    """
    frame = analysis.frame
    layers = [c for c in frame.columns if c.startswith(tuple(f"{name}/" for name in PANELS))]
    curves.require(frame, [*PANELS, *(layers or ["first_term_same_sign/LAYER"])], "first_term")
    legend = Legend()
    rows = curves.chosen_rows(curves.rows_of(analysis, frame, "init"), legend)
    figure, grid = panels(len(rows), len(PANELS))
    for place, (row, (about, own)) in enumerate(zip(grid, rows, strict=True)):
        about = f"{about}\n" if about else ""
        for index, (name, (title, ylabel, guide)) in enumerate(PANELS.items()):
            axes = row[index]
            _draw_layers(axes, own, name, legend)
            letter(axes, len(PANELS) * place + index, title)
            curves.finish_axes(
                axes, ylabel if index else about + ylabel, curves.is_log_scheduled(own)
            )
            if guide is not None:
                axes.axhline(guide, **GUIDE, zorder=1)
        row[0].yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        row[2].set_ylim(bottom=0)
    curves.say_repeats(analysis, legend)
    legend.below(figure)
    return figure


def _draw_layers(axes: Axes, own: DataFrame, name: str, legend: Legend) -> None:
    layers = [column for column in own.columns if column.startswith(f"{name}/")]
    dashes = ["-", "--", "-.", ":"]
    for index, column in enumerate(layers):
        look = Look(COLORS[index % 10], dashes[index % len(dashes)])
        curves.draw_mean(axes, own, column, look)
        legend.add(column.removeprefix(f"{name}/"), look.handle())
