"""The squared gradient mean over training, by the sign of W·g (Liu et al. 2020, 3.3)."""

from __future__ import annotations

from matplotlib.figure import Figure

from gsnr_sweep.analysis.analysis import Analysis
from gsnr_sweep.papers.plotting import curves
from gsnr_sweep.papers.plotting.legend import Legend
from gsnr_sweep.papers.plotting.panels import letter, panels
from gsnr_sweep.papers.plotting.style import RANDOM, REAL, WIDE_PANEL, Look

LINES = {
    "grad_sq_mean": ("all", Look(curves.NEUTRAL, "-", 2.0)),
    "grad_sq_mean_opposite": ("W·g < 0", Look(REAL)),
    "grad_sq_mean_same": ("W·g > 0", Look(RANDOM, "--")),
    "grad_sq_debiased": ("all, without the noise ρ²/n", Look(curves.NEUTRAL, "-.", 0.9)),
}
SETS = {"": "all weights", "_top10": "10 % of largest |W|"}


def draw_squared_gradient(analysis: Analysis) -> Figure:
    """Draw two panels in a row, a row for each kind of initial weights and what else was swept.

    Mean of g²_D,j over (a) all weights and (b) the 10 % of largest |W|.

    Args:
        analysis: The sweep's runs. Their table has the metrics of the measure ``squared_gradient``.

    Raises:
        GsnrError: A column is missing.
    """
    frame = analysis.frame
    curves.require(frame, [f"{name}{of}" for of in SETS for name in LINES], "squared_gradient")
    legend = Legend()
    rows = curves.chosen_rows(curves.rows_of(analysis, frame, "init"), legend)
    figure, grid = panels(len(rows), len(SETS), WIDE_PANEL)
    for place, (row, (about, own)) in enumerate(zip(grid, rows, strict=True)):
        for index, (axes, (of, title)) in enumerate(zip(row, SETS.items(), strict=True)):
            for name, (label, look) in LINES.items():
                curves.draw_mean(axes, own, f"{name}{of}", look)
                legend.add(label, look.handle())
            letter(axes, len(SETS) * place + index, title)
            ylabel = f"{about}\nmean of g²" if about and not index else "mean of g²"
            curves.finish_axes(axes, ylabel, curves.is_log_scheduled(own))
            if (own[f"grad_sq_mean{of}"] > 0).any():
                axes.set_yscale("log")
    curves.say_repeats(analysis, legend)
    legend.below(figure)
    return figure
