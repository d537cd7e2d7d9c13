"""Fig. 3 read back: errors and scaled measures over the size of the confusion set."""

import pytest

from gsnr_sweep.papers.neyshabur2017.figures.by_setting import LOOKS
from tests.papers.liu2020.figures.reading import curves_of, titles_of
from tests.papers.neyshabur2017 import made_up
from tests.papers.neyshabur2017.figures.drawing import drawn


def test_panels_are_those_of_the_paper() -> None:
    figure = drawn("confusion", *made_up.confusion())
    assert titles_of(figure) == ["(a) errors", "(b) measures", "(c) bi-criteria"]
    assert [axes.get_xlabel() for axes in figure.axes] == ["# random labels"] * 2 + ["KL"]


def test_errors_over_the_confusion_set() -> None:
    axes = drawn("confusion", *made_up.confusion()).axes[0]
    train, test = curves_of(axes)
    assert train == dict.fromkeys(made_up.CONFUSION, 0.0)
    expected = {size: 0.08 + 0.03 * k for k, size in enumerate(made_up.CONFUSION)}
    assert test == pytest.approx(expected)


def test_sharpness_falls_while_norms_rise() -> None:
    axes = drawn("confusion", *made_up.confusion()).axes[1]
    (sharpness,) = curves_of(axes, color=LOOKS["sharpness"].color)
    assert list(sharpness.values())[:3] == pytest.approx([1, 0.85, 0], abs=0.01)
    for norm in made_up.NORMS:
        (curve,) = curves_of(axes, color=LOOKS[norm].color)
        values = [curve[size] for size in made_up.CONFUSION]
        assert values == sorted(values)
        assert values[0] == pytest.approx(0)
        assert values[-1] == pytest.approx(1)
