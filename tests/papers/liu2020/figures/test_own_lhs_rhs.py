"""Both sides for the rule's own steps, and the ends of trainings that stop."""

import math

import pytest

from gsnr_sweep.analysis.statistics import statistics_table
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.papers.liu2020.figures.lhs_rhs import panel_title
from gsnr_sweep.papers.registry import draw
from gsnr_sweep.wording import describe_epoch
from tests.papers.liu2020.figures.test_lhs_rhs import points_of
from tests.tables import make_analysis, make_run

NS = (100, 200, 400, 800)
FIGURES = {
    "own_lhs_rhs": "osgr_own_lhs_full_batch",
    "own_lhs_rhs_epoch": "osgr_own_lhs_epoch",
}


def _runs(epochs=(0, 3)):
    """At the start Adam has no right side, and a left side over an epoch alone."""
    return [
        make_run(
            {
                "osgr_own_rhs": [math.nan, 1 - 50 / n],
                "osgr_own_lhs_full_batch": [math.nan, 1 - 40 / n],
                "osgr_own_lhs_epoch": [0.5, 1 - 30 / n],
            },
            epochs=epochs,
            n=n,
        )
        for n in NS
    ]


@pytest.mark.parametrize("name", FIGURES)
def test_the_sides_of_own_steps_are_drawn(name):
    figure = draw(name, make_analysis(*_runs()))
    panel = next(panel for panel in figure.axes if "epoch 3" in panel.get_title())
    offset = {"own_lhs_rhs": 40, "own_lhs_rhs_epoch": 30}[name]
    expected = sorted((1 - 50 / n, 1 - offset / n) for n in NS)
    found = sorted(map(tuple, points_of(panel)))
    assert found == [pytest.approx(point) for point in expected]
    assert "RHS" in figure.get_supxlabel() + "".join(panel.get_xlabel() for panel in figure.axes)


@pytest.mark.parametrize("name", FIGURES)
def test_runs_that_did_not_measure_them(name):
    with pytest.raises(GsnrError, match="osgr_own_rhs"):
        draw(name, make_analysis(make_run({"osgr_lhs": 1.0})))


def test_ends_belong_together_wherever_they_are():
    runs = []
    for place, n in enumerate(NS):
        run = make_run({"osgr_lhs": 1 - 40 / n, "osgr_rhs": 1 - 50 / n}, epochs=(0, 5 + place), n=n)
        run.stopped_by = "stop.train_error"
        run.measurements[-1].is_end = True
        runs.append(run)
    analysis = make_analysis(*runs)
    assert sorted(analysis.frame["epoch"].unique()) == [0, 5, 6, 7, 8]
    assert set(analysis.frame["stopped_by"]) == {"stop.train_error"}
    statistics = analysis.statistics()
    assert list(statistics) == [0, math.inf]
    assert statistics[math.inf].points == len(NS)
    assert list(statistics_table(statistics, "osgr_rhs", "osgr_lhs")["epoch"]) == [0, "end"]
    assert panel_title(math.inf, statistics[math.inf]).startswith("end   c = ")
    titles = [panel.get_title() for panel in draw_lhs_rhs_of(analysis).axes]
    assert any(title.startswith("end   c = ") for title in titles)


def draw_lhs_rhs_of(analysis):
    from gsnr_sweep.papers.liu2020.figures.lhs_rhs import draw_lhs_rhs

    return draw_lhs_rhs(analysis.aligned, analysis.statistics(), axes=analysis.axes)


def test_steps_belong_together_where_epochs_have_different_numbers_of_them():
    runs = []
    for steps_an_epoch, n in zip((2, 4, 8, 5), NS, strict=True):
        sides = {"osgr_lhs": 1 - 40 / n, "osgr_rhs": 1 - 50 / n}
        run = make_run(sides, epochs=(0, 1 / steps_an_epoch, 1), n=n)
        for measured, step in zip(run.measurements, (0, 1, steps_an_epoch), strict=True):
            measured.step = step
        runs.append(run)
    analysis = make_analysis(*runs)
    statistics = analysis.statistics()
    assert [describe_epoch(epoch) for epoch in statistics] == ["0", "step 1", "1"]
    assert [one.points for one in statistics.values()] == [4, 4, 4]
    assert list(statistics_table(statistics, "osgr_rhs", "osgr_lhs")["epoch"]) == [0, "step 1", 1]
    titles = [panel.get_title() for panel in draw_lhs_rhs_of(analysis).axes]
    assert any(title.startswith("step 1   c = ") for title in titles)


def test_steps_within_an_epoch_are_told_briefly():
    runs = [
        make_run({"osgr_lhs": 0.1 * n, "osgr_rhs": 0.1 * n}, epochs=(0, 4 / 3), n=n) for n in NS
    ]
    statistics = make_analysis(*runs).statistics()
    assert list(statistics) == [0, 4 / 3]
    assert panel_title(4 / 3, statistics[4 / 3]).startswith("epoch 1.333   c = ")
