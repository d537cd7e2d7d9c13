"""Measures by settings: a heat map of rank correlations with generalization."""

from __future__ import annotations

import math
from collections.abc import Sequence

import seaborn as sns
from matplotlib.figure import Figure
from pandas import DataFrame

from gsnr_sweep.analysis.analysis import Analysis
from gsnr_sweep.analysis.ranking import MeasureRank, Ranking
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.papers.plotting.style import SIZES
from gsnr_sweep.wording import describe_epoch

MAX_MEASURES = 40
_CELL = (0.55, 0.2)
_CHARACTER, _BAR = 0.07, 1.1


def draw_ranking_of_sweep(analysis: Analysis) -> Figure:
    """Draw the ranking of a sweep's measures at the end of training.

    Args:
        analysis: The sweep's runs.

    Raises:
        GsnrError: There is nothing to rank.
    """
    try:
        return draw_ranking(analysis.ranking)
    except GsnrError as error:
        raise GsnrError(f"The figure ranking needs networks to compare. {error}") from error


def draw_ranking(ranking: Ranking) -> Figure:
    """Draw τ, Ψ and ψ by axis of each measure, the best first; settings and baselines below.

    Args:
        ranking: At one epoch.
    """
    measures, others = ranking.measures, ranking.references
    shown = [*measures[:MAX_MEASURES], *others]
    columns = {"τ": [row.tau.value for row in shown], "Ψ": [row.mean_psi.value for row in shown]}
    for axis in ranking.axes:
        values = [row.psi[axis].value if axis in row.psi else math.nan for row in shown]
        columns[f"ψ {short_axis(axis)}"] = values
    when = describe_epoch(ranking.epoch)
    left_out = len(measures) - MAX_MEASURES
    more = f"; {left_out} more measures in the table" if left_out > 0 else ""
    title = f"Rank correlation with {ranking.target} at {when}{more}"
    return _heat_map([row.label for row in shown], columns, len(shown) - len(others), title)


def draw_over_epochs(rankings: Sequence[Ranking]) -> Figure:
    """Draw τ of each measure at each epoch, in the order of the last one.

    Args:
        rankings: One an epoch.
    """
    last = rankings[-1]
    others = last.references
    shown = [*last.measures[:MAX_MEASURES], *others]
    by_name = [{row.name: row for row in one.rows} for one in rankings]
    columns = {
        describe_epoch(one.epoch): [_tau(rows.get(row.name)) for row in shown]
        for one, rows in zip(rankings, by_name, strict=True)
    }
    title = f"Kendall's τ with {last.target}, by epoch"
    return _heat_map([row.label for row in shown], columns, len(shown) - len(others), title)


def short_axis(axis: str) -> str:
    """Return an axis without the sections of its key."""
    return axis.removesuffix(".name").rsplit(".", 1)[-1]


def _tau(row: MeasureRank | None) -> float:
    return math.nan if row is None else row.tau.value


def _heat_map(
    names: Sequence[str], columns: dict[str, list[float]], measures: int, title: str
) -> Figure:
    """Draw values from −1 to 1 with their numbers; the rows below `measures` apart."""
    widest = max(map(len, columns))
    cell = max(_CELL[0], widest * _CHARACTER)
    width = max(map(len, names)) * _CHARACTER + len(columns) * cell + _BAR
    figure = Figure(figsize=(width, len(names) * _CELL[1] + 0.7), layout="constrained", dpi=100)
    axes = figure.subplots()
    values = DataFrame(columns, dtype=float)
    sns.heatmap(
        values,
        ax=axes,
        vmin=-1,
        vmax=1,
        cmap="RdBu_r",
        annot=values.map(lambda value: f"{value:+.2f}".replace("-", "−")),
        fmt="",
        annot_kws={"fontsize": SIZES["tick"]},
        linewidths=0.5,
        yticklabels=list(names),
        cbar_kws={"aspect": 30},
    )
    axes.set_facecolor("0.93")  # undefined
    axes.axhline(measures, color="black", linewidth=1.2)
    axes.tick_params(labelsize=SIZES["tick"], length=0, labeltop=True, labelbottom=False)
    axes.tick_params("x", labelrotation=0)
    axes.set_title(title, fontsize=SIZES["title"], loc="left", pad=8)
    bar = axes.collections[0].colorbar
    assert bar is not None
    bar.ax.tick_params(labelsize=SIZES["tick"], length=2.5, width=0.6)
    bar.outline.set_visible(False)
    return figure
