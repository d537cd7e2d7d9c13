"""Sharpness and PAC-Bayes for real and random labels (Neyshabur et al. 2017, Fig. 2)."""

from __future__ import annotations

from matplotlib.figure import Figure

from gsnr_sweep.analysis.analysis import Analysis
from gsnr_sweep.papers.neyshabur2017.complexity_measures import MAX_SHARPNESS
from gsnr_sweep.papers.neyshabur2017.figures.bi_criteria import draw_bi_criteria
from gsnr_sweep.papers.neyshabur2017.figures.norms import SIZE, draw_by_labels
from gsnr_sweep.papers.neyshabur2017.figures.rows import rows_of, say_left_out
from gsnr_sweep.papers.plotting import curves
from gsnr_sweep.papers.plotting.legend import Legend
from gsnr_sweep.papers.plotting.panels import letter, panels
from gsnr_sweep.papers.plotting.style import SIZES, WIDE_PANEL


def draw_sharpness(analysis: Analysis) -> Figure:
    """Draw max sharpness against n, and the bi-criteria curves of real and of random labels.

    Args:
        analysis: The sweep's runs. Their table has ``max_sharpness``, their arrays ``log10_kl`` and
            ``expected_sharpness``.

    Raises:
        GsnrError: A column is missing, or no network is without a training error.
    """
    rows = rows_of(analysis, "sharpness", [MAX_SHARPNESS], ["n", curves.LABELS], "labels")
    legend = Legend()
    figure, grid = panels(len(rows), 3, WIDE_PANEL)
    for place, (line, row) in enumerate(zip(grid, rows, strict=True)):
        networks = row.interpolating
        draw_by_labels(line[0], networks, MAX_SHARPNESS, legend)
        line[0].set_ylabel(row.labelled("max sharpness"), fontsize=SIZES["label"], labelpad=2)
        for axes, p_random in zip(line[1:], (0, 1), strict=True):
            own = networks[networks[curves.LABELS] == p_random]
            draw_bi_criteria(axes, own, row.arrays, "n", SIZE)
        for index, (axes, title) in enumerate(
            zip(line, ("max sharpness", "real labels", "random labels"), strict=True)
        ):
            letter(axes, 3 * place + index, title)
    curves.say_repeats(analysis, legend)
    say_left_out(analysis, legend)
    legend.below(figure)
    return figure
