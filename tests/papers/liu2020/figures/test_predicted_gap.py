"""Predicted against measured gaps read back: panels, points, and what is left out."""

import pytest

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.papers.liu2020.figures.assumptions import PANELS, draw_assumptions
from gsnr_sweep.papers.liu2020.figures.predicted_gap import draw_predicted_gap, with_growth
from tests.papers.liu2020.figures.reading import titles_of
from tests.tables import make_analysis, make_run

CURVES = {
    "gen_gap": [0.1, 0.3, 0.6],
    "gap_predicted_lhs": [0.0, 0.2, 0.5],
    "gap_predicted_rhs": [0.0, 0.4, 1.0],
}
EPOCHS = (0, 5, 10)


def run(n: int = 100, **more):
    return make_run({**CURVES, **more}, epochs=EPOCHS, n=n)


def test_the_gap_grows_from_epoch_0() -> None:
    frame = with_growth(make_analysis(run()).frame)
    assert list(frame["growth"]) == pytest.approx([0, 0.2, 0.5])
    late = make_run(CURVES, epochs=(1, 5, 10))
    assert with_growth(make_analysis(late).frame).empty


def test_a_panel_a_prediction_and_a_line_a_run() -> None:
    figure = draw_predicted_gap(make_analysis(run(), run(200)))
    assert titles_of(figure) == ["(a) left side (23)", "(b) right side (24)"]
    for axes, name in zip(figure.axes, ("gap_predicted_lhs", "gap_predicted_rhs"), strict=True):
        lines = [line for line in axes.lines if len(line.get_xdata()) == len(EPOCHS)]
        assert len(lines) == 2
        for line in lines:
            assert list(line.get_xdata()) == pytest.approx([0, 0.2, 0.5])
            assert list(line.get_ydata()) == pytest.approx(CURVES[name])


def test_a_prediction_that_was_measured_has_a_panel() -> None:
    figure = draw_predicted_gap(make_analysis(run(gap_predicted_noise=[0, 1, 2])))
    assert titles_of(figure)[-1] == "(c) noise, eq. (14)"


def test_what_is_missing_is_named() -> None:
    with pytest.raises(GsnrError, match="predicted_gap needs gap_predicted_lhs, gap_predicted_rhs"):
        draw_predicted_gap(make_analysis(make_run({"gen_gap": 1.0})))
    with pytest.raises(GsnrError, match="assumptions needs own_over_fresh_sq_norm"):
        draw_assumptions(make_analysis(run()))


def test_assumptions_are_ratios_around_one() -> None:
    ratios = {name: [1.0, 0.9, 0.5] for name in PANELS}
    figure = draw_assumptions(make_analysis(run(**ratios), run(200, **ratios)))
    assert titles_of(figure)[0] == "(a) 2.3.1: ‖g_D‖²"
    assert len(figure.axes) == len(PANELS)
    for axes in figure.axes:
        (guide,) = [line for line in axes.lines if line.get_linestyle() == ":"]
        assert list(guide.get_ydata()) == [1, 1]
