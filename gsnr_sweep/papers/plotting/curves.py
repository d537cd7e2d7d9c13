"""Curves over training: what the figures of this kind have in common.

Epochs are drawn on a logarithmic axis with a linear start, so that epoch 0 has a place. Runs that
differ in nothing but the seed share a line, their mean, with a band from the lowest to the highest;
the legend says of how many. Runs that differ in anything else that was swept never do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle, pairwise
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, NullFormatter, ScalarFormatter
from pandas import DataFrame

from gsnr_sweep.analysis.analysis import Analysis
from gsnr_sweep.analysis.axes import SEEDS, open_axes
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.papers.plotting.legend import Legend
from gsnr_sweep.papers.plotting.levels import (
    Levels,
    combined,
    named,
    ordered_colors,
)
from gsnr_sweep.papers.plotting.style import (
    DASHES,
    GUIDE,
    MARKERS,
    RANDOM,
    REAL,
    SIZES,
    Look,
)

MAX_ROWS = 8
"""Rows of panels that a page holds."""
LABELS = "p_random"
NEUTRAL = "0.35"
"""What stands in the legend for any colour."""


def draw_mean(axes: Axes, points: DataFrame, y: str, look: Look, x: str = "epoch") -> None:
    """Draw the mean over runs of column `y` against `x`, with the range of the runs.

    Where the ordinate is logarithmic already, the mean is the geometric one.
    """
    known = points[[x, y]].dropna()
    marker = look.marker or ("o" if known[x].nunique() == 1 else None)
    sns.lineplot(
        known,
        x=x,
        y=y,
        color=look.color,
        linestyle=look.dashes,
        linewidth=look.width,
        marker=marker,
        markersize=4,
        markeredgewidth=0,
        errorbar=("pi", 100),
        err_kws={"linewidth": 0, "alpha": 0.18},
        legend=False,
        ax=axes,
    )


def finish_axes(axes: Axes, ylabel: str, log_epochs: bool = True) -> None:
    """Label and scale the axes of one panel."""
    drawn = [line for line in axes.lines if line.get_linestyle() != GUIDE["linestyle"]]
    epochs = {float(x) for line in drawn for x in np.asarray(line.get_xdata())}
    if len(epochs) == 1:
        axes.set_xticks(list(epochs))
    elif log_epochs:
        axes.set_xscale("symlog", linthresh=1, linscale=0.35)
        axes.xaxis.set_minor_formatter(NullFormatter())
        formatter = ScalarFormatter(useOffset=False)
        formatter.set_scientific(False)
        axes.xaxis.set_major_formatter(formatter)
        axes.set_xlim(left=0)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.set_xlabel("epoch", fontsize=SIZES["label"], labelpad=1)
    axes.set_ylabel(ylabel, fontsize=SIZES["label"], labelpad=2)


def is_log_scheduled(frame: DataFrame) -> bool:
    """Tell whether the measured epochs thin out as they grow, so that a log axis suits them."""
    epochs = sorted(frame["epoch"].unique())
    later = [b - a for a, b in pairwise(epochs)]
    return len(later) > 2 and max(later) > 4 * min(later)


def require(frame: DataFrame, names: Sequence[str], figure: str) -> None:
    """Refuse a table that lacks what a figure shows.

    Raises:
        GsnrError: A column is missing, or has no finite value.
    """
    missing = [name for name in names if name not in frame or frame[name].isna().all()]
    if missing:
        raise GsnrError(
            f"The figure {figure} needs {', '.join(missing)}, which these runs did not measure. "
            "Launch them with the experiment's own measures (experiment=…)."
        )


# --- what was swept


class Lines:
    """How the lines of a figure are told apart: a channel for each axis that was swept.

    The first axis has colours, the second dashes, all others together have markers; a single one
    has both colours and dashes, for those who see no colours.
    """

    def __init__(self, frame: DataFrame, axes: Sequence[str]) -> None:
        """Give each axis its channel: kinds of labels come first, unless another has many values.

        Args:
            frame: One row a run and epoch, of the whole figure.
            axes: The axes to tell apart; without any, the kind of labels has the colour.
        """
        many = {name: frame[name].nunique(dropna=False) > len(DASHES) for name in axes}
        order = sorted(axes, key=lambda name: (not many[name], name != LABELS)) or [LABELS]
        alone = len(order) == 1
        channels = [order[:1], order[:1] if alone else order[1:2], order[2:]]
        self._keys = [combined(frame, names, named) for names in channels]
        counts = [len(key.cat.categories) for key in self._keys]
        palettes: list[Sequence[Any]] = [
            ordered_colors(counts[0]),
            DASHES[:-1] if alone else DASHES,
            MARKERS if channels[2] else ("",),
        ]
        if order[0] == LABELS and set(frame[LABELS]) <= {0, 1}:  # as in the paper
            values = sorted(frame[LABELS].unique())
            palettes[0] = [RANDOM if value else REAL for value in values]
            if alone:
                palettes[1] = ["--" if value else "-" for value in values]
        self._looks = [
            dict(zip(key.cat.categories, cycle(palette), strict=False))
            for key, palette in zip(self._keys, palettes, strict=True)
        ]
        self._named = (0,) if alone else (0, 1, 2) if channels[2] else (0, 1)
        self._repeated = [
            f"{', '.join(channels[i])}: looks repeat"
            for i in self._named
            if counts[i] > len(palettes[i])
        ]

    def groups(self, points: DataFrame) -> Iterator[tuple[Look, DataFrame]]:
        """Return the look and the rows of every line that some rows make."""
        keys = [key.loc[points.index].rename(None) for key in self._keys]
        for labels, own in points.groupby(keys, observed=True):
            color, dashes, marker = (
                looks[label] for looks, label in zip(self._looks, labels, strict=True)
            )
            yield Look(color, dashes, marker=marker), own

    def add_to(self, legend: Legend) -> None:
        """Name every value once, of many an even choice, and say where looks repeat."""
        for channel in self._named:
            looks = Levels("", self._looks[channel])
            for label in looks.listed():
                look = looks.looks[label]
                legend.add(
                    label,
                    (
                        Look(look, self._looks[1].get(label, "-")),
                        Look(NEUTRAL, look),
                        Look(NEUTRAL, marker=look),
                    )[channel].handle(),
                )
            if len(looks.listed()) < len(looks.looks):
                legend.say(f"… of {len(looks.looks)} values")
        for text in self._repeated:
            legend.say(text)


def rows_of(
    analysis: Analysis, frame: DataFrame, first: str, told_apart: Sequence[str] = ()
) -> list[tuple[str, DataFrame]]:
    """Return the rows of panels: one for each value of `first` and of what else was swept.

    Args:
        analysis: The sweep's runs.
        frame: Those to draw.
        first: A setting that has rows of its own whether or not it was swept.
        told_apart: Columns that are told apart within a row.

    Returns:
        What a row's runs are called, empty where all runs are in one row, and the runs.
    """
    axes = [first, *open_axes(frame, single_axes(analysis), [first, *told_apart])]
    keys = combined(frame, axes, named)
    swept = [name for name in axes if frame[name].nunique(dropna=False) > 1]
    names = combined(frame, swept, named)
    return [
        (str(names.loc[own.index[0]]), own)
        for _, own in frame.groupby(keys, observed=True, sort=False)
    ]


def single_axes(analysis: Analysis) -> list[str]:
    """Return the axes over which nothing may be averaged: all but the seed, labels first."""
    return sorted((name for name in analysis.axes if name not in SEEDS), key=lambda n: n != LABELS)


def chosen_rows(
    rows: Sequence[tuple[str, DataFrame]], legend: Legend
) -> list[tuple[str, DataFrame]]:
    """Return the rows to draw: all, or of many an even choice, which the legend then says."""
    count = min(len(rows), MAX_ROWS)
    if count < len(rows):
        legend.say(f"{count} of {len(rows)} settings have a row")
    return [rows[i] for i in np.linspace(0, len(rows) - 1, count).round().astype(int)]


def say_repeats(analysis: Analysis, legend: Legend) -> None:
    """Say of how many runs a line is the mean, if it is one."""
    axes = single_axes(analysis)
    frame = analysis.frame
    runs = frame.groupby(axes, dropna=False)["run_id"].nunique() if axes else None
    counts = [frame["run_id"].nunique()] if runs is None else list(runs)
    low, high = min(counts), max(counts)
    if high > 1:
        kind = "seeds" if set(SEEDS) & set(analysis.axes) else "runs"
        number = str(high) if low == high else f"{low} to {high}"
        legend.add(f"mean and range of {number} {kind}", Patch(color=NEUTRAL, alpha=0.3, lw=0))
