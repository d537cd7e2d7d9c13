import math

import pytest

from benchmarks.sections.growth import exponent


def test_exponent_of_a_power_law():
    value, error = exponent([1.0, 2.0, 4.0], [3.0, 3.0 * 2**1.5, 3.0 * 4**1.5])
    assert value == pytest.approx(1.5)
    assert error == pytest.approx(0, abs=1e-6)


def test_no_exponent_of_what_was_not_measured():
    assert math.isnan(exponent([1.0, 2.0], [1.0, math.nan])[0])
