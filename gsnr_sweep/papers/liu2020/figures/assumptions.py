"""The assumptions behind eq. (19) over training: which of them breaks, when and by how much."""

from __future__ import annotations

from matplotlib.figure import Figure

from gsnr_sweep.analysis.analysis import Analysis
from gsnr_sweep.papers.plotting import curves
from gsnr_sweep.papers.plotting.legend import Legend
from gsnr_sweep.papers.plotting.panels import letter, panels
from gsnr_sweep.papers.plotting.style import GUIDE

PANELS = {
    "own_over_fresh_sq_norm": ("2.3.1: ‖g_D‖²", "own over fresh sets"),
    "own_over_fresh_variance": ("2.3.1: Σ ρ²", "own over fresh sets"),
    "between_over_within_variance": ("eq. (8): σ² = ρ²/n", "between over within"),
    "taylor_ratio": ("eq. (9)", "ΔL[D] / λ‖g_D‖²"),
    "taylor_ratio_test": ("eq. (10)", "ΔL[D′] / λ g_D·g_D′"),
}


def draw_assumptions(analysis: Analysis) -> Figure:
    """Draw one panel an assumption: a ratio that is 1 where it holds, against the epoch.

    Args:
        analysis: The sweep's runs. Their table has the metrics of the measure ``fresh_sets``.

    Raises:
        GsnrError: A column is missing.
    """
    frame = analysis.frame
    curves.require(frame, list(PANELS)[:2], "assumptions")
    shown = [name for name in PANELS if name in frame and frame[name].notna().any()]
    legend = Legend()
    lines = curves.Lines(frame, curves.single_axes(analysis))
    figure, grid = panels(1, len(shown))
    for index, (axes, name) in enumerate(zip(grid[0], shown, strict=True)):
        title, ylabel = PANELS[name]
        for look, points in lines.groups(frame):
            curves.draw_mean(axes, points, name, look)
        axes.axhline(1, **GUIDE, zorder=1)
        curves.finish_axes(axes, ylabel, curves.is_log_scheduled(frame))
        letter(axes, index, title)
    lines.add_to(legend)
    curves.say_repeats(analysis, legend)
    legend.below(figure)
    return figure
