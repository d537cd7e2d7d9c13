"""GSNR with the first layer trained and frozen (Liu et al. 2020, Fig. 6)."""

from __future__ import annotations

import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame

from gsnr_sweep.analysis.analysis import Analysis
from gsnr_sweep.papers.plotting import curves
from gsnr_sweep.papers.plotting.legend import Legend
from gsnr_sweep.papers.plotting.panels import letter, panels
from gsnr_sweep.papers.plotting.style import RANDOM, REAL, Look

NOT_FROZEN, FROZEN = "first layer trained", "first layer frozen"
CLOSED_FORM, CLOSED_LOOK = "frozen, by the closed form", Look("0.1", ":", 1.0)
LOOKS = {NOT_FROZEN: Look(REAL), FROZEN: Look(RANDOM, "--")}


def draw_frozen(analysis: Analysis) -> Figure:
    """Draw three panels in a row, a row for each kind of initial weights and what else was swept.

    (a) mean GSNR of the followed parameters, (b) training loss, both with the first layer trained
    and frozen, the latter by its closed form too where that was computed; (c) GSNR of each followed
    parameter where it is trained, of the first seed.

    Args:
        analysis: The sweep's runs. Their table has ``gsnr_followed_mean``, ``train_loss`` and
            ``model.frozen``, their arrays ``gsnr/…`` of the followed parameters.

    Raises:
        GsnrError: A column is missing.
    """
    frame, arrays = analysis.frame, analysis.arrays
    curves.require(frame, ["gsnr_followed_mean", "train_loss"], "frozen")
    frame = frame.assign(kind=kinds(frame))
    legend = Legend()
    rows = curves.chosen_rows(curves.rows_of(analysis, frame, "init", ["kind"]), legend)
    figure, grid = panels(len(rows), 3)
    for place, (row, (about, own)) in enumerate(zip(grid, rows, strict=True)):
        about = f"{about}\n" if about else ""
        for axes, column in zip(row, ("gsnr_followed_mean", "train_loss"), strict=False):
            for kind, look in LOOKS.items():
                points = own[own["kind"] == kind]
                if not points.empty:
                    curves.draw_mean(axes, points, column, look)
                    legend.add(kind, look.handle())
        if "linear_regression_loss" in own and own["linear_regression_loss"].notna().any():
            curves.draw_mean(row[1], own, "linear_regression_loss", CLOSED_LOOK)
            legend.add(CLOSED_FORM, CLOSED_LOOK.handle())
        _draw_single(row[2], own, arrays)
        titles = ("mean GSNR", "training loss", "single weights")
        for index, (axes, title) in enumerate(zip(row, titles, strict=True)):
            letter(axes, 3 * place + index, title)
            ylabel = ("GSNR", "loss", "GSNR")[index]
            curves.finish_axes(axes, ylabel if index else about + ylabel)
        if (own["train_loss"] > 0).any():
            row[1].set_yscale("log")
    curves.say_repeats(analysis, legend)
    legend.below(figure)
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
