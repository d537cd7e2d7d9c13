"""Three panels over a setting: errors, scaled measures, bi-criteria curves (Figs. 3 and 4)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from pandas import DataFrame, Series

from gsnr_sweep.analysis.analysis import Analysis
from gsnr_sweep.papers.neyshabur2017.complexity_measures import (
    MAX_SHARPNESS,
    NORMS,
    over_margin,
)
from gsnr_sweep.papers.neyshabur2017.figures.bi_criteria import draw_bi_criteria
from gsnr_sweep.papers.neyshabur2017.figures.rows import rows_of, say_left_out
from gsnr_sweep.papers.neyshabur2017.paper_curves import Part
from gsnr_sweep.papers.plotting import curves
from gsnr_sweep.papers.plotting.legend import Legend
from gsnr_sweep.papers.plotting.panels import letter, panels, percent
from gsnr_sweep.papers.plotting.style import (
    COLORS,
    DASHES,
    MARKERS,
    RANDOM,
    REAL,
    SIZES,
    WIDE_PANEL,
    Look,
)

ERRORS = {
    "train_error": ("training error", Look(REAL, "--", marker="o")),
    "test_error": ("test error", Look(RANDOM, marker="s")),
}
MEASURES = NORMS | {"sharpness": "max sharpness"}
LOOKS = {
    measure: Look(COLORS[place], DASHES[place], marker=MARKERS[place])
    for place, measure in enumerate(MEASURES)
}


def draw_by_setting(
    analysis: Analysis, figure_name: str, setting: str, xlabel: str, part: Part
) -> tuple[Figure, list[Axes], Legend]:
    """Draw the three panels; the caller scales the abscissas and draws the legend.

    Args:
        analysis: The sweep's runs. Their table has the errors, the norms and ``max_sharpness``,
            their arrays ``log10_kl`` and ``expected_sharpness``.
        figure_name: Name of the figure.
        setting: That was swept.
        xlabel: What it is called.
        part: The paper's own curves.

    Returns:
        The figure, the panels over the setting, and the legend.

    Raises:
        GsnrError: A column is missing, or no network is without a training error.
    """
    columns = [over_margin(norm) for norm in NORMS]
    needed = [setting, *ERRORS, *columns, MAX_SHARPNESS]
    rows = rows_of(analysis, figure_name, needed, [setting], part)
    legend = Legend()
    figure, grid = panels(len(rows), 3, WIDE_PANEL)
    for place, (line, row) in enumerate(zip(grid, rows, strict=True)):
        _draw_errors(line[0], row.networks, setting, legend)
        _draw_scaled(line[1], row.interpolating, setting, legend)
        draw_bi_criteria(line[2], row.interpolating, row.arrays, setting, xlabel)
        for axes in line[:2]:
            axes.set_xlabel(xlabel, fontsize=SIZES["label"], labelpad=1)
        line[0].set_ylabel(row.labelled("error"), fontsize=SIZES["label"], labelpad=2)
        line[1].set_ylabel("scaled measure", fontsize=SIZES["label"], labelpad=2)
        titles = ("errors", "measures", "bi-criteria")
        for index, (axes, title) in enumerate(zip(line, titles, strict=True)):
            letter(axes, 3 * place + index, title)
    curves.say_repeats(analysis, legend)
    say_left_out(analysis, legend)
    return figure, [axes for line in grid for axes in line[:2]], legend


def _draw_errors(axes: Axes, networks: DataFrame, setting: str, legend: Legend) -> None:
    for column, (name, look) in ERRORS.items():
        curves.draw_mean(axes, networks, column, look, x=setting)
        legend.add(name, look.handle())
    axes.yaxis.set_major_formatter(FuncFormatter(percent))


def _draw_scaled(axes: Axes, networks: DataFrame, setting: str, legend: Legend) -> None:
    for measure, name in MEASURES.items():
        look = replace(LOOKS[measure], width=1.3)
        points = networks.assign(value=scaled(networks, measure, setting))
        curves.draw_mean(axes, points, "value", look, x=setting)
        legend.add(name, look.handle())


def scaled(networks: DataFrame, measure: str, setting: str) -> Series[Any]:
    """Scale a measure so that its means over the seeds run from 0 to 1 over the setting's values.

    Norm measures are scaled themselves, not their logarithms. A measure that does not change has
    no scale: NaN.

    Args:
        networks: One row a network.
        measure: One of `MEASURES`.
        setting: Over whose values.

    Returns:
        A value a network.
    """
    if f"scaled_{measure}" in networks:  # the paper shows no others
        return networks[f"scaled_{measure}"]
    if measure in NORMS:
        logarithm = networks[over_margin(measure)]
        value = 10 ** (logarithm - logarithm.max())  # no power of ten that is too large
    else:
        value = networks[MAX_SHARPNESS]
    means = value.groupby(networks[setting]).mean()
    span = means.max() - means.min()
    between: Series[Any] = (value - means.min()) / (span if span > 0 else np.nan)
    return between
