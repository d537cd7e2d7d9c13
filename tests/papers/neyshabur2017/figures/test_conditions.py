"""Fig. 5 read back: distributions of C1, flips, norms by layer, change of the output."""

import numpy as np
import pytest

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.papers.neyshabur2017.figures.conditions import INITIAL, LOOKS, NEEDED, TRAINED
from tests.papers.liu2020.figures.reading import curves_of, legend_of, titles_of
from tests.papers.neyshabur2017 import made_up
from tests.papers.neyshabur2017.figures.drawing import drawn

WHEN = {INITIAL: 0, TRAINED: 1}


def test_panels_are_the_conditions_and_the_output() -> None:
    figure = drawn("conditions", *made_up.conditions())
    assert titles_of(figure) == ["(a) C1", "(b) C2", "(c) C3", "(d) output"]
    assert list(legend_of(figure))[:2] == [INITIAL, TRAINED]


@pytest.mark.parametrize("when", [INITIAL, TRAINED])
def test_curves_are_the_means_over_the_seeds(when: str) -> None:
    _, flips, norms, output = drawn("conditions", *made_up.conditions(layers=4)).axes
    measured = made_up.conditions((1,), layers=4)[0].measurements[WHEN[when]].arrays  # offset 0
    means = made_up.conditions((0,), layers=4)[0].measurements[WHEN[when]].arrays
    assert means != measured  # so that a single seed would be noticed
    look = LOOKS[when]
    for axes, name in ((flips, "c2_flips"), (output, "output_change")):
        (curve,) = curves_of(axes, color=look.color)
        assert list(curve) == pytest.approx(made_up.GAMMAS)
        assert list(curve.values()) == pytest.approx(measured[name])
    (curve,) = curves_of(norms, color=look.color)
    assert curve == pytest.approx(dict(enumerate(measured["c3_row_norms"], start=1)))


def test_c1_is_a_distribution_function_up_to_1_over_mu() -> None:
    axes = drawn("conditions", *made_up.conditions((1,))).axes[0]
    assert len(axes.lines) == 4
    for line in axes.lines:
        ratios, shares = (np.asarray(values) for values in line.get_data())
        assert list(shares) == pytest.approx(list(np.linspace(0, 1, len(ratios))))
        assert (np.diff(ratios) >= 0).all()


def test_networks_that_are_measured_at_one_moment_only() -> None:
    runs = made_up.conditions()
    for run in runs:
        del run.measurements[0]
    figure = drawn("conditions", *runs)
    assert INITIAL not in legend_of(figure)
    assert len(figure.axes[1].lines) == 1


@pytest.mark.parametrize("name", NEEDED)
def test_a_missing_list_is_named(name: str) -> None:
    runs = made_up.conditions()
    for run in runs:
        for measurement in run.measurements:
            del measurement.arrays[name]
    with pytest.raises(GsnrError, match=f"The figure conditions needs {name}, which"):
        drawn("conditions", *runs)
