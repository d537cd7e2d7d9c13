"""The conditions of Theorem 1 before and after training (Neyshabur et al. 2017, Fig. 5)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from pandas import DataFrame, Series

from gsnr_sweep.analysis.analysis import Analysis
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.papers.plotting import curves
from gsnr_sweep.papers.plotting.legend import Legend
from gsnr_sweep.papers.plotting.panels import letter, panels, percent
from gsnr_sweep.papers.plotting.style import COLORS, REAL, SIZES, Look

INITIAL = "at initialization"
TRAINED = "after training"
LOOKS = {
    INITIAL: Look(COLORS[1], width=1.0, marker="s"),
    TRAINED: Look(REAL, width=1.8, marker="o"),
}
CASES = {"c1_ratios_vectors": ("C1, a = 0", "-"), "c1_ratios_matrices": ("C1, a ≥ 1", ":")}
NEEDED = (*CASES, "condition_gammas", "c2_flips", "c3_row_norms", "output_change")
COLUMNS = 4


def draw_conditions(analysis: Analysis) -> Figure:
    """Draw four panels in a row, a row for whatever else was swept.

    (a) the share of the pairs of layers in C1 with a ratio up to x, whose largest is 1/μ; (b) the
    share of activations that flip against the size γ of the perturbation; (c) by layer, the largest
    norm of a unit's incoming weights over the layer's mean; (d) the relative change of the output
    against γ. Mean and range over the seeds.

    Args:
        analysis: The sweep's runs. Their arrays have the quantiles ``c1_ratios_vectors`` and
            ``c1_ratios_matrices``, ``condition_gammas``, ``c2_flips``, ``output_change`` and
            ``c3_row_norms``.

    Raises:
        GsnrError: An array is missing.
    """
    arrays = analysis.arrays.dropna(subset="value")
    missing = [name for name in NEEDED if name not in set(arrays["array"])]
    if missing:
        raise GsnrError(
            f"The figure conditions needs {', '.join(missing)}, which these runs did not measure. "
            "Launch them with the experiment's own measures (experiment=…)."
        )
    rows = curves.rows_of(analysis, analysis.frame, "model")
    legend = Legend()
    figure, grid = panels(len(rows), COLUMNS)
    for place, (line, (about, own)) in enumerate(zip(grid, rows, strict=True)):
        for when, look in LOOKS.items():
            found = _lists(own, arrays, when)
            if not found.empty:
                _draw(line, found, look)
                legend.add(when, look.handle())
        _finish(line, about, place)
    for name, dashes in CASES.values():
        legend.add(name, Look(curves.NEUTRAL, dashes).handle())
    curves.say_repeats(analysis, legend)
    legend.below(figure)
    return figure


def _lists(own: DataFrame, arrays: DataFrame, when: str) -> Series[Any]:
    """Return the values at epoch 0, or at the last epoch of each run, by array, place and run."""
    epochs = own.groupby("run_id")["epoch"].max()
    epochs = epochs * 0 if when == INITIAL else epochs[epochs > 0]
    there = arrays[arrays["epoch"] == arrays["run_id"].map(epochs)]
    return there.set_index(["array", "index", "run_id"])["value"]


def _draw(line: Any, found: Series[Any], look: Look) -> None:
    """Draw the networks of one moment into the four panels."""
    for case, (_, dashes) in CASES.items():
        _draw_distribution(line[0], found, case, replace(look, dashes=dashes, marker=""))
    gammas = _levels(found, "condition_gammas")["mean"].to_numpy()
    _draw_range(line[1], gammas, _levels(found, "c2_flips"), look)
    ratio = _levels(found, "c3_row_norms")
    _draw_range(line[2], ratio.index.to_numpy() + 1, ratio, look)
    _draw_range(line[3], gammas, _levels(found, "output_change"), look)


def _levels(found: Series[Any], name: str) -> DataFrame:
    """Return mean, lowest and highest value over the runs, by place in the list."""
    if name not in found.index.get_level_values("array"):
        return DataFrame(columns=["mean", "min", "max"], dtype=float)
    levels: DataFrame = found.loc[name].groupby("index").agg(["mean", "min", "max"])
    return levels


def _draw_distribution(axes: Axes, found: Series[Any], name: str, look: Look) -> None:
    """Draw evenly spaced quantiles as a distribution function."""
    quantiles = _levels(found, name)
    shares = np.linspace(0, 1, len(quantiles))
    axes.fill_betweenx(
        shares, quantiles["min"], quantiles["max"], color=look.color, alpha=0.18, linewidth=0
    )
    axes.plot(
        quantiles["mean"], shares, color=look.color, linestyle=look.dashes, linewidth=look.width
    )


def _draw_range(axes: Axes, x: Any, levels: DataFrame, look: Look) -> None:
    x = x[: len(levels)]
    axes.fill_between(x, levels["min"], levels["max"], color=look.color, alpha=0.18, linewidth=0)
    axes.plot(
        x,
        levels["mean"],
        color=look.color,
        linewidth=look.width,
        marker=look.marker,
        markersize=3,
        markeredgewidth=0,
    )


def _finish(line: Any, about: str, place: int) -> None:
    titles = ("C1", "C2", "C3", "output")
    xlabels = ("ratio, at most 1/μ", "perturbation γ", "layer", "perturbation γ")
    ylabels = ("share of ratios", "flipped activations", "largest / mean norm", "relative change")
    for index, axes in enumerate(line):
        letter(axes, COLUMNS * place + index, titles[index])
        ylabel = f"{about}\n{ylabels[0]}" if about and index == 0 else ylabels[index]
        axes.set_xlabel(xlabels[index], fontsize=SIZES["label"], labelpad=1)
        axes.set_ylabel(ylabel, fontsize=SIZES["label"], labelpad=2)
    line[0].yaxis.set_major_formatter(FuncFormatter(percent))
    line[1].set_xscale("log")
    line[1].set_ylim(bottom=0)
    line[1].yaxis.set_major_formatter(FuncFormatter(percent))
    line[2].xaxis.set_major_locator(MaxNLocator(5, integer=True))
    line[3].set_xscale("log")
    line[3].set_yscale("log")
