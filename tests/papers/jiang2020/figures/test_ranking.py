"""The heat map read back: its rows, columns, numbers, and what is left out."""

from typing import Any

import pytest
from matplotlib.figure import Figure

from gsnr_sweep.analysis.ranking import rank_measures
from gsnr_sweep.papers.jiang2020.figures import ranking as ranking_figure
from gsnr_sweep.papers.jiang2020.figures.ranking import draw_over_epochs, draw_ranking
from gsnr_sweep.papers.registry import draw
from tests.analysis.ranking.test_ranking import sweep


def rows_of(figure: Figure) -> list[str]:
    return [tick.get_text() for tick in figure.axes[0].get_yticklabels()]


def columns_of(figure: Figure) -> list[str]:
    return [tick.get_text() for tick in figure.axes[0].get_xticklabels()]


def values_of(figure: Figure) -> Any:
    """The cells' values, masked where undefined."""
    cells = figure.axes[0].collections[0].get_array()
    return cells.reshape(len(rows_of(figure)), -1)  # type: ignore[union-attr]


def test_rows_and_columns() -> None:
    ranking = rank_measures(sweep())
    figure = draw_ranking(ranking)
    assert columns_of(figure) == ["τ", "Ψ", "ψ n", "ψ ch"]
    rows = rows_of(figure)
    assert rows == [row.label for row in (*ranking.measures, *ranking.references)]
    assert rows[0] == "−gsnr_mean"
    values = values_of(figure)
    assert values[0].tolist() == pytest.approx([1] * 4)
    assert figure.axes[0].texts[0].get_text() == "+1.00"
    assert values[rows.index("flat")].mask.all()
    first_setting = len(ranking.measures)
    assert rows[first_setting] == "n"
    assert values[first_setting, 2] == -1  # the more samples, the smaller the gap
    (line,) = figure.axes[0].lines
    assert line.get_ydata()[0] == first_setting  # type: ignore[index]


def test_the_figure_of_the_catalog_is_that_of_the_end() -> None:
    assert rows_of(draw("ranking", sweep())) == rows_of(draw_ranking(rank_measures(sweep())))


def test_of_many_measures_the_best_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking_figure, "MAX_MEASURES", 2)
    ranking = rank_measures(sweep())
    figure = draw_ranking(ranking)
    shown = [*ranking.measures[:2], *ranking.references]
    assert rows_of(figure) == [row.label for row in shown]
    left_out = len(ranking.measures) - 2
    title = figure.axes[0].get_title(loc="left")
    assert title.endswith(f"{left_out} more measures in the table")


def test_over_epochs() -> None:
    rankings = [rank_measures(sweep(), at=at) for at in (100, None)]
    figure = draw_over_epochs(rankings)
    assert columns_of(figure) == ["100", "end"]
    assert values_of(figure)[0].tolist() == pytest.approx([1, 1])
