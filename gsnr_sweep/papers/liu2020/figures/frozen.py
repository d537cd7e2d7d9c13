"""GSNR with the first layer trained and frozen (Liu et al. 2020, Fig. 6)."""

from __future__ import annotations

import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame

from gsnr_sweep.analysis.analysis import Analysis
from gsnr_sweep.papers.plotting import curves
from gsnr_sweep.papers.plotting.curves import Legend, Look

NOT_FROZEN, FROZEN = "first layer trained", "first layer frozen"
LOOKS = {NOT_FROZEN: Look(curves.REAL), FROZEN: Look(curves.RANDOM, "--")}


def draw_frozen(analysis: Analysis) -> Figure:
    """Draw three panels in a row, a row for each kind of initial weights.

    (a) mean GSNR of the followed parameters, (b) training loss, both with the first layer trained
    and frozen; (c) GSNR of each followed parameter where it is trained, of the first seed.

    Args:
        analysis: The sweep's runs. Their table has ``gsnr_followed_mean``, ``train_loss`` and
            ``model.frozen``, their arrays ``gsnr/…`` of the followed parameters.

    Raises:
        GsnrError: A column is missing.
    """
    frame, arrays = analysis.frame, analysis.arrays
    curves.require(frame, ["gsnr_followed_mean", "train_loss"], "frozen")
    frame = frame.assign(kind=kinds(frame))
    inits = list(dict.fromkeys(frame["init"]))
    figure, grid = curves.panels(len(inits), 3)
    legend = Legend()
    for place, (row, init) in enumerate(zip(grid, inits, strict=True)):
        own = frame[frame["init"] == init]
        about = f"init {init}\n" if len(inits) > 1 else ""
        for axes, column in zip(row, ("gsnr_followed_mean", "train_loss"), strict=False):
            for kind, look in LOOKS.items():
                points = own[own["kind"] == kind]
                if not points.empty:
                    curves.draw_mean(axes, points, column, look)
                    legend.add(kind, look.handle())
        _draw_single(row[2], own, arrays)
        titles = ("mean GSNR", "training loss", "single weights")
        for index, (axes, title) in enumerate(zip(row, titles, strict=True)):
            curves.letter(axes, 3 * place + index, title)
            ylabel = ("GSNR", "loss", "GSNR")[index]
            curves.finish_axes(axes, ylabel if index else about + ylabel)
        if (own["train_loss"] > 0).any():
            row[1].set_yscale("log")
    legend.draw(figure)
    return figure


def kinds(frame: DataFrame) -> list[str]:
    """Say of each row whether a layer is frozen."""
    if "model.frozen" not in frame:
        return [NOT_FROZEN] * len(frame)
    return [NOT_FROZEN if value in ("[]", None) else FROZEN for value in frame["model.frozen"]]


def _draw_single(axes: Axes, own: DataFrame, arrays: DataFrame) -> None:
    """Draw every followed parameter of the first run that trains all layers."""
    trained = own[own["kind"] == NOT_FROZEN].sort_values("seed")
    if trained.empty:
        return
    chosen = arrays[
        (arrays["run_id"] == trained["run_id"].iloc[0]) & arrays["array"].str.startswith("gsnr/")
    ]
    groups = list(chosen.groupby(["array", "index"]))
    colors = sns.color_palette("viridis", len(groups))
    peaks = [group["value"].max() for _, group in groups]
    order = sorted(range(len(groups)), key=lambda i: peaks[i])
    for rank, i in enumerate(order):
        points = groups[i][1].sort_values("epoch")
        marker = "o" if len(points) == 1 else None
        axes.plot(
            points["epoch"], points["value"], color=colors[rank], linewidth=0.9, marker=marker
        )
