"""Bi-criteria curves: expected sharpness against KL, a point a level of noise (Figs. 2 to 4)."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray
from pandas import DataFrame

from gsnr_sweep.papers.neyshabur2017.complexity_measures import LEVEL
from gsnr_sweep.papers.plotting.curves import Lines
from gsnr_sweep.papers.plotting.levels import labels_of
from gsnr_sweep.papers.plotting.style import GUIDE, SIZES

X, Y = "log10_kl", "expected_sharpness"
LOWEST, HIGHEST = 0.005, 0.3
"""Expected sharpness between which curves are shown; the paper shows no higher ones."""
MOST_CURVES = 6
LEGEND_FROM, LEFT_OF_LEGEND = 0.13, 0.62
"""Where the legend begins, and the share of the axis to the left of it."""
FEW_DECADES = 100
"""Ratio of the ends of an axis up to which 2 and 5 times a power of ten are labelled, too."""


def draw_bi_criteria(
    axes: Axes, networks: DataFrame, arrays: DataFrame, by: str, heading: str
) -> None:
    """Draw a curve for each value of a setting, of many an even choice with both ends.

    Over the seeds a point is the mean of log KL and of the expected sharpness, with the range of
    the latter.

    Args:
        axes: The panel.
        networks: Those to draw.
        arrays: With ``log10_kl`` and ``expected_sharpness``.
        by: The setting.
        heading: What it is called in the panel's legend.
    """
    known = networks[networks["run_id"].isin(arrays.loc[arrays["array"] == Y, "run_id"])]
    values = np.sort(known[by].unique())
    chosen = np.linspace(0, len(values) - 1, min(len(values), MOST_CURVES)).round().astype(int)
    shown = known[known[by].isin(values[chosen])]
    if not shown.empty:
        lines = Lines(shown, [by])
        for look, own in lines.groups(shown):
            kl, mean, low, high = _curve(own, arrays)
            axes.fill_between(kl, low, high, color=look.color, alpha=0.18, linewidth=0)
            (label,) = labels_of(own[by].head(1))
            axes.plot(kl, mean, color=look.color, linestyle=look.dashes, linewidth=1.3, label=label)
        axes.legend(
            loc="upper right",
            title=heading,
            title_fontsize=SIZES["tick"],
            fontsize=SIZES["tick"],
            frameon=False,
            labelspacing=0.15,
            borderaxespad=0.0,
        )
    axes.axhline(LEVEL, **GUIDE, zorder=1)
    axes.set_xscale("log")
    axes.set_ylim(0, HIGHEST)
    _fit_abscissa(axes)
    axes.set_xlabel("KL", fontsize=SIZES["label"], labelpad=1)
    axes.set_ylabel("expected sharpness", fontsize=SIZES["label"], labelpad=2)


def _curve(networks: DataFrame, arrays: DataFrame) -> tuple[NDArray[np.float64], ...]:
    """Return KL, and mean, lowest and highest expected sharpness over the networks."""
    rows = arrays["run_id"].isin(networks["run_id"])
    rows &= arrays["epoch"] == arrays["run_id"].map(networks.set_index("run_id")["epoch"])
    points = arrays[rows & arrays["array"].isin([X, Y])].pivot_table(
        index=["run_id", "index"], columns="array", values="value"
    )
    levels = points.dropna().groupby("index")
    kl = 10 ** levels[X].mean()
    parts = (kl, levels[Y].mean(), levels[Y].min(), levels[Y].max())
    return tuple(part.to_numpy(dtype=float) for part in parts)


def _fit_abscissa(axes: Axes) -> None:
    """Show what of the curves lies between `LOWEST` and `HIGHEST`, and no more."""
    drawn = [np.column_stack(line.get_data()) for line in axes.lines[:-1]]
    inside = [points[(points[:, 1] >= LOWEST) & (points[:, 1] <= HIGHEST), 0] for points in drawn]
    seen = np.concatenate([np.empty(0), *inside])
    if len(seen):
        low, high = seen.min() / 1.1, seen.max() * 1.1
        beside = [points[points[:, 1] >= LEGEND_FROM, 0] for points in drawn]
        rightmost = np.concatenate([[low], *beside]).max()
        high = max(high, low * (rightmost / low) ** (1 / LEFT_OF_LEGEND))
        axes.set_xlim(low, high)
        few = high / low < FEW_DECADES
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.xaxis.set_minor_formatter(NullFormatter())
