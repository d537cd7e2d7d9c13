"""Which layers carry the generalization loss: the terms of eq. (22) (Liu et al. 2020)."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter
from pandas import DataFrame

from gsnr_sweep.analysis.analysis import Analysis
from gsnr_sweep.papers.plotting import curves
from gsnr_sweep.papers.plotting.legend import Legend
from gsnr_sweep.papers.plotting.panels import letter, panels
from gsnr_sweep.papers.plotting.style import COLORS, GUIDE, SIZES, WIDE_PANEL, Look
from gsnr_sweep.wording import describe_epoch

SHARES = {
    "loss_share": ("W: share in loss decrease", COLORS[0]),
    "gap_share": ("share in 1 − R", COLORS[1]),
}
DENSITIES = {
    "noise_density_weighted": ("weighted by W", COLORS[0]),
    "noise_density": ("each parameter once", COLORS[7]),
}
AVERAGED = ("n", "p_random", "ch", "data.eta", "seed")
"""Axes of the paper's grids, over which shares are averaged; the legend says over which."""
MOST_LAYERS = 12
"""Layers with a bar each; deeper networks are drawn by their main parts."""
DECADES = (-4.0, 1.0)
"""Range of log10 x of the densities, as the measure ``loss_shares`` makes them."""


def draw_loss_shares(analysis: Analysis) -> Figure:
    """Draw, for each model, shares by layer and the distribution of the noise terms.

    Left: Σ W_j of each layer and its share in 1 − R at the last epoch, means over the runs with
    their standard deviation. Right: distribution of x_j = 1 / (n (r_j + 1/n)) at the first epoch
    (dashed) and the last, mean over the runs; 0 is signal only, 1 noise only.

    Args:
        analysis: The sweep's runs. Their table has the metrics of the measure ``loss_shares``,
            their arrays its densities.

    Raises:
        GsnrError: The measure is missing.
    """
    frame, arrays = analysis.frame, analysis.arrays
    shares = [c for c in frame.columns if c.startswith("loss_share/")]
    curves.require(frame, shares or ["loss_share/LAYER"], "loss_shares")
    legend = Legend()
    averaged = [name for name in AVERAGED if name in analysis.axes]
    rows = curves.chosen_rows(curves.rows_of(analysis, frame, "model", averaged), legend)
    figure, grid = panels(len(rows), 2, WIDE_PANEL)
    for place, (row, (about, own)) in enumerate(zip(grid, rows, strict=True)):
        last = own[own["epoch"] == own.groupby("run_id")["epoch"].transform("max")]
        _draw_shares(row[0], last, legend)
        _draw_densities(row[1], own, arrays, legend)
        letter(row[0], 2 * place, f"by layer, last epoch{about and f', {about}'}")
        letter(row[1], 2 * place + 1, "noise share of parameters")
    if (most := max(own["run_id"].nunique() for _, own in rows)) > 1:
        over = f" over {', '.join(averaged)}" if averaged else ""
        legend.say(f"means of {most} runs{over}")
    legend.below(figure)
    return figure


def _draw_shares(axes: Axes, last: DataFrame, legend: Legend) -> None:
    for offset, (kind, (text, color)) in zip((-0.19, 0.19), SHARES.items(), strict=True):
        values = _by_layer(last, kind)
        names, places = list(values.columns), np.arange(values.shape[1])
        axes.barh(
            places + offset,
            values.mean().to_numpy(),
            height=0.36,
            color=color,
            xerr=values.std(ddof=0).to_numpy() if len(values) > 1 else None,
            error_kw={"elinewidth": 0.7, "ecolor": "0.3"},
        )
        legend.add(text, Patch(color=color))
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_xlabel("share", fontsize=SIZES["label"], labelpad=1)


def _by_layer(last: DataFrame, kind: str) -> DataFrame:
    """Return a share by layer, one row a run; of deep networks by the network's main parts."""
    columns = [c for c in last.columns if c.startswith(f"{kind}/") and last[c].notna().any()]
    values = last[columns].rename(columns=lambda column: column.partition("/")[2])
    if len(columns) <= MOST_LAYERS:
        return values
    parts = [name.partition(".")[0] for name in values.columns]
    return DataFrame(
        {
            part: values.loc[:, [own == part for own in parts]].sum(axis=1)
            for part in dict.fromkeys(parts)
        }
    )


def _draw_densities(axes: Axes, own: DataFrame, arrays: DataFrame, legend: Legend) -> None:
    found = arrays[arrays["run_id"].isin(own["run_id"])]
    ends = {own["epoch"].min(): "--", own["epoch"].max(): "-"}
    for epoch, dashes in ends.items():
        for name, (text, color) in DENSITIES.items():
            at = found[(found["array"] == name) & (found["epoch"] == epoch)]
            mean = at.groupby("index")["value"].mean()
            edges = np.logspace(*DECADES, len(mean) + 1)
            axes.stairs(mean.to_numpy(), edges, color=color, linestyle=dashes, linewidth=1.2)
            legend.add(text, Look(color).handle())
        legend.add(f"epoch {describe_epoch(epoch)}", Look("0.35", dashes, 1.2).handle())
    axes.axvline(1, **GUIDE, zorder=1)
    axes.set_xscale("log")
    axes.set_xlabel("1 / (n (r + 1/n))", fontsize=SIZES["label"], labelpad=1)
    axes.set_ylabel("share of parameters", fontsize=SIZES["label"], labelpad=2)
