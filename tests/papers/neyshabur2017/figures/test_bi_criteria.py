"""Bi-criteria curves read back: points, means over seeds, which of them are drawn, limits."""

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gsnr_sweep.papers.neyshabur2017.figures.bi_criteria import HIGHEST, draw_bi_criteria
from gsnr_sweep.papers.neyshabur2017.networks import trained_networks
from gsnr_sweep.records.record import RunRecord
from tests.papers.neyshabur2017 import made_up
from tests.tables import make_analysis


def panel(*runs: RunRecord, by: str = "n") -> Axes:
    analysis = make_analysis(*runs)
    axes = Figure().subplots()
    draw_bi_criteria(axes, trained_networks(analysis), analysis.arrays, by, "size")
    return axes


def curves(axes: Axes) -> list[np.ndarray]:
    return [np.column_stack(line.get_data()) for line in axes.lines[:-1]]


def test_a_point_for_each_level_of_noise() -> None:
    run = made_up.network(made_up.LABELS[0.0, 500], 0, 0, n=500)
    (curve,) = curves(panel(run))
    arrays = run.measurements[-1].arrays
    assert curve[:, 1] == pytest.approx(arrays["expected_sharpness"])
    assert np.log10(curve[:, 0]) == pytest.approx(arrays["log10_kl"])


def test_seeds_are_averaged_level_by_level_with_their_range() -> None:
    runs = [made_up.network(made_up.LABELS[0.0, 500], seed, 0, n=500) for seed in (0, 1, 2)]
    for factor, run in zip((0.5, 1.0, 1.8), runs, strict=True):
        sharpness = run.measurements[-1].arrays["expected_sharpness"]
        run.measurements[-1].arrays["expected_sharpness"] = [factor * v for v in sharpness]
    axes = panel(*runs)
    (curve,) = curves(axes)
    plain = made_up.bi_criteria(made_up.LABELS[0.0, 500][4])
    assert np.log10(curve[:, 0]) == pytest.approx(plain["log10_kl"](0))  # offsets add up to 0
    assert curve[:, 1] == pytest.approx(1.1 * np.array(plain["expected_sharpness"](0)))
    band = axes.collections[0].get_paths()[0].vertices
    at_first = band[np.isclose(band[:, 0], curve[0, 0], rtol=1e-12), 1]
    first = plain["expected_sharpness"](0)[0]
    assert [at_first.min(), at_first.max()] == pytest.approx([0.5 * first, 1.8 * first])


def test_of_many_values_an_even_choice_is_drawn() -> None:
    runs = [made_up.network(made_up.LABELS[0.0, 500], 0, 0, n=100 * k) for k in range(1, 12)]
    legend = panel(*runs).get_legend()
    assert [text.get_text() for text in legend.get_texts()] == [
        "100", "300", "500", "700", "900", "1100",
    ]  # fmt: skip
    assert legend.get_title().get_text() == "size"


def test_the_panel_shows_the_papers_range_and_the_level() -> None:
    axes = panel(*made_up.labels())
    assert axes.get_ylim() == (0, HIGHEST)
    assert axes.get_xscale() == "log"
    assert list(axes.lines[-1].get_ydata()) == [0.05, 0.05]
    low, high = axes.get_xlim()
    for curve in curves(axes):
        shown = curve[(curve[:, 1] >= 0.01) & (curve[:, 1] <= HIGHEST), 0]
        assert low < shown.min() < shown.max() < high


def test_networks_without_a_curve_leave_an_empty_panel() -> None:
    run = made_up.network(made_up.LABELS[0.0, 500], 0, 0, n=500)
    run.measurements[-1].arrays.clear()
    axes = panel(run)
    assert curves(axes) == []
    assert axes.get_legend() is None
