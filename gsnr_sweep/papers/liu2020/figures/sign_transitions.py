"""Weights between W·g < 0 and W·g > 0, from a measured epoch to the next (Liu et al., 3.3)."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from gsnr_sweep.analysis.analysis import Analysis
from gsnr_sweep.papers.plotting import curves
from gsnr_sweep.papers.plotting.legend import Legend
from gsnr_sweep.papers.plotting.panels import letter, panels
from gsnr_sweep.papers.plotting.style import RANDOM, REAL, Look

PANELS = {
    "changed": "sign of W·g changed",
    "changed_by_g": "by the gradient alone",
    "g_grew": "|g| grew",
}
ORIGINS = {
    "_from_same": ("W·g > 0 before", RANDOM),
    "_from_opposite": ("W·g < 0 before", REAL),
    "": ("either, as by chance", curves.NEUTRAL),
}
SETS = {"": ("all weights", "-"), "_top10": ("10 % of largest |W|", "--")}


def draw_sign_transitions(analysis: Analysis) -> Figure:
    """Draw three panels in a row, a row for each kind of initial weights and what else was swept.

    Shares of the weights of either state at the measured epoch before: (a) whose state is the other
    one now, (b) of them those whose gradient changed its sign and whose weight did not, (c) whose
    |g| is larger now; for all weights and for the 10 % of largest |W|. In (b) and (c) the share
    among both states together is what signs of W that do not matter would give either.

    Args:
        analysis: The sweep's runs. Their table has the metrics of the measure ``sign_transitions``.

    Raises:
        GsnrError: A column is missing.
    """
    frame = analysis.frame
    columns = [f"{name}{origin}{of}" for name in PANELS for origin in ORIGINS for of in SETS]
    curves.require(frame, columns, "sign_transitions")
    legend = Legend()
    rows = curves.chosen_rows(curves.rows_of(analysis, frame, "init"), legend)
    figure, grid = panels(len(rows), len(PANELS))
    for place, (row, (about, own)) in enumerate(zip(grid, rows, strict=True)):
        for index, (axes, (name, title)) in enumerate(zip(row, PANELS.items(), strict=True)):
            for origin, (state, color) in ORIGINS.items():
                if not origin and name == "changed":  # of which chance says nothing
                    continue
                for of, (which, dashes) in SETS.items():
                    look = Look(color, dashes, 1.5 if origin else 0.9)
                    curves.draw_mean(axes, own, f"{name}{origin}{of}", look)
                    legend.add(f"{state}, {which}", look.handle())
            letter(axes, len(PANELS) * place + index, title)
            ylabel = f"{about}\nshare" if about and not index else "share"
            curves.finish_axes(axes, ylabel, curves.is_log_scheduled(own))
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
            axes.set_ylim(bottom=0)
    curves.say_repeats(analysis, legend)
    legend.below(figure)
    return figure
