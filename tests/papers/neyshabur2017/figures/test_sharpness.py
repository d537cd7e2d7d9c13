"""Fig. 2 read back: max sharpness, and one panel of bi-criteria curves a kind of labels."""

import pytest

from gsnr_sweep.papers.plotting.style import RANDOM, REAL
from tests.papers.liu2020.figures.reading import curves_of, titles_of
from tests.papers.neyshabur2017 import made_up
from tests.papers.neyshabur2017.figures.drawing import drawn


def test_panels_are_those_of_the_paper() -> None:
    figure = drawn("sharpness", *made_up.labels())
    assert titles_of(figure) == ["(a) max sharpness", "(b) real labels", "(c) random labels"]


@pytest.mark.parametrize(("p_random", "color"), [(0.0, REAL), (1.0, RANDOM)])
def test_max_sharpness_over_n(p_random: float, color: str) -> None:
    axes = drawn("sharpness", *made_up.labels()).axes[0]
    assert axes.get_yscale() == "linear"
    (curve,) = curves_of(axes, color=color)
    assert curve == pytest.approx({n: made_up.LABELS[p_random, n][5] for n in made_up.SIZES})


@pytest.mark.parametrize(("panel", "p_random"), [(1, 0.0), (2, 1.0)])
def test_each_kind_of_labels_has_its_curves(panel: int, p_random: float) -> None:
    """Each curve crosses 0.05 where its networks' KL at that level says."""
    axes = drawn("sharpness", *made_up.labels()).axes[panel]
    lines = axes.lines[:-1]
    assert [line.get_label() for line in lines] == [str(n) for n in made_up.SIZES]
    for line, n in zip(lines, made_up.SIZES, strict=True):
        kl, sharpness = line.get_data()
        nearest = min(range(len(kl)), key=lambda k: abs(sharpness[k] - 0.05))
        assert kl[nearest] == pytest.approx(10 ** made_up.LABELS[p_random, n][4], rel=0.06)
