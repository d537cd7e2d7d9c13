"""The gap that eq. (19) predicts, summed over training, against the measured one."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame, Series

from gsnr_sweep.analysis.analysis import Analysis
from gsnr_sweep.analysis.axes import SEEDS
from gsnr_sweep.papers.plotting import curves
from gsnr_sweep.papers.plotting.legend import Legend
from gsnr_sweep.papers.plotting.levels import color_levels, combined, labels_of
from gsnr_sweep.papers.plotting.panels import finish_squares, letter, set_limits, square_panels
from gsnr_sweep.papers.plotting.style import COLORS, GUIDE, Look

PREDICTIONS = {
    "gap_predicted_lhs": "left side (23)",
    "gap_predicted_rhs": "right side (24)",
    "gap_predicted_fresh": "fresh training sets",
    "gap_predicted_noise": "noise, eq. (14)",
}


def draw_predicted_gap(analysis: Analysis) -> Figure:
    """Draw one panel a prediction: a line a run, from the start to the end of its training.

    Measured is the growth of the gap since epoch 0.

    Args:
        analysis: The sweep's runs. Their table has ``gen_gap`` and ``gap_predicted_…``.

    Raises:
        GsnrError: A column is missing, or no run measured epoch 0.
    """
    needed = ["gen_gap", *list(PREDICTIONS)[:2]]
    curves.require(analysis.frame, needed, "predicted_gap")
    frame = with_growth(analysis.frame)
    shown = [name for name in PREDICTIONS if name in frame and frame[name].notna().any()]
    axes_names = [name for name in analysis.axes if name not in SEEDS][:1]
    group = combined(frame, axes_names) if axes_names else Series("", frame.index, name="")
    levels = color_levels(frame[axes_names[0]]) if axes_names else None
    legend = Legend()
    figure, squares = square_panels(len(shown))
    for index, (axes, name) in enumerate(zip(squares, shown, strict=True)):
        _draw_runs(axes, frame, name, group, levels.looks if levels else {})
        letter(axes, index, PREDICTIONS[name])
    if levels is not None:
        legend.start(levels.heading())
        for label in levels.listed():
            legend.add(label, Look(levels.looks[label]).handle())
    legend.start()
    legend.say("a line a run, over training")
    finish_squares(
        figure, squares, legend.beside(figure), "measured growth of the gap", "predicted growth"
    )
    return figure


def with_growth(frame: DataFrame) -> DataFrame:
    """Return the rows of runs that measured epoch 0, with ``growth`` of the gap since then."""
    start = frame[frame["epoch"] == 0].set_index("run_id")["gen_gap"]
    found = frame[frame["run_id"].isin(start.index)]
    return found.assign(growth=found["gen_gap"] - found["run_id"].map(start).astype(float))


def _draw_runs(
    axes: Axes, frame: DataFrame, name: str, group: Series, looks: dict[str, object]
) -> None:
    for _, run in frame.groupby("run_id", sort=False):
        points = run.sort_values("epoch")[["growth", name]].dropna()
        label = labels_of([group[run.index[0]]])[0]
        color = looks.get(label, COLORS[0])
        axes.plot(points["growth"], points[name], color=color, linewidth=0.7, alpha=0.7)
        axes.plot(points["growth"].tail(1), points[name].tail(1), "o", color=color, markersize=2.5)
    values = frame[["growth", name]].to_numpy(dtype=float)
    finite = values[[all(map(math.isfinite, row)) for row in values]]
    if len(finite):
        low, high = float(finite.min()), float(finite.max())
        axes.plot([low, high], [low, high], **GUIDE, zorder=1)
        margin = 0.04 * (high - low)
        set_limits(axes, *[(low - margin, high + margin)] * 2)
