"""Fig. 4 read back: errors of all networks, measures of those without a training error."""

import pytest

from gsnr_sweep.papers.neyshabur2017.figures.by_setting import LOOKS
from tests.papers.liu2020.figures.reading import curves_of
from tests.papers.neyshabur2017 import made_up
from tests.papers.neyshabur2017.figures.drawing import drawn

WIDTHS = list(made_up.WIDTHS)


def test_widths_are_on_a_logarithmic_axis() -> None:
    errors, measures, _ = drawn("width", *made_up.widths()).axes
    for axes in (errors, measures):
        assert axes.get_xscale() == "log"
        assert axes.get_xlabel() == "hidden units"
        labels = [t.get_text() for t in axes.get_xticklabels() if t.get_text()]
        assert {"16", "64", "256", "1024"} <= set(labels)


def test_errors_are_those_of_all_networks() -> None:
    train, test = curves_of(drawn("width", *made_up.widths()).axes[0])
    assert train == {8: 0.02} | dict.fromkeys(WIDTHS, 0.0)
    assert [test[width] for width in WIDTHS] == pytest.approx(
        [made_up.WIDTHS[width][0] for width in WIDTHS]
    )


def test_measures_are_those_of_networks_without_a_training_error() -> None:
    axes = drawn("width", *made_up.widths((1,))).axes[1]
    for place, norm in enumerate(made_up.NORMS, start=1):
        (curve,) = curves_of(axes, color=LOOKS[norm].color)
        values = [
            10 ** (made_up.WIDTHS[width][place] + made_up.offset(1, cell))
            for cell, width in enumerate(WIDTHS, start=1)  # cell 0 is that of 8 units
        ]
        low, high = min(values), max(values)
        expected = [(value - low) / (high - low) for value in values]
        assert curve == pytest.approx(dict(zip(WIDTHS, expected, strict=True)))
