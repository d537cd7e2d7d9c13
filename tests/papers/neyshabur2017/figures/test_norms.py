"""Fig. 1 read back: measures over γ², sizes, labels, means and ranges over the seeds."""

import math

import numpy as np
import pytest

from gsnr_sweep.papers.plotting.style import RANDOM, REAL
from tests.papers.liu2020.figures.reading import curves_of, legend_of, titles_of
from tests.papers.neyshabur2017 import made_up
from tests.papers.neyshabur2017.figures.drawing import drawn


def test_a_panel_a_norm_in_the_papers_order() -> None:
    assert titles_of(drawn("norms", *made_up.labels())) == [
        "(a) ℓ2 norm / γ²", "(b) ℓ1-path norm / γ²", "(c) ℓ2-path norm / γ²",
        "(d) spectral norm / γ²",
    ]  # fmt: skip


@pytest.mark.parametrize(("p_random", "color"), [(0.0, REAL), (1.0, RANDOM)])
def test_a_point_is_the_geometric_mean_over_the_seeds(p_random: float, color: str) -> None:
    figure = drawn("norms", *made_up.labels())
    for place, axes in enumerate(figure.axes):
        assert axes.get_yscale() == "log"
        (curve,) = curves_of(axes, color=color)
        expected = {n: 10 ** made_up.LABELS[p_random, n][place] for n in made_up.SIZES}
        assert curve == pytest.approx(expected)


def test_the_band_is_the_range_of_the_seeds() -> None:
    axes = drawn("norms", *made_up.labels()).axes[0]
    band = axes.collections[0].get_paths()[0].vertices  # that of real labels
    at_500 = band[np.isclose(band[:, 0], 500), 1]
    middle = made_up.LABELS[0.0, 500][0]
    assert math.log10(at_500.min()) == pytest.approx(middle - 0.02)
    assert math.log10(at_500.max()) == pytest.approx(middle + 0.02)


def test_the_legend_names_the_labels() -> None:
    assert list(legend_of(drawn("norms", *made_up.labels()))) == [
        "real labels", "random labels", "mean and range of 3 seeds",
    ]  # fmt: skip


def test_the_papers_curves_are_the_papers() -> None:
    axes = drawn("norms", *made_up.labels(), paper_curves=True).axes[4]
    (curve,) = curves_of(axes, color=RANDOM)
    assert curve[5000] == pytest.approx(1.85e22)
    assert curve[50_000] == pytest.approx(6.59e25)
