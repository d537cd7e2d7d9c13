"""Scaled measures: by hand, against their definition, and where there is nothing to scale."""

import numpy as np
import pytest
from pandas import DataFrame

from gsnr_sweep.papers.neyshabur2017.figures.by_setting import scaled


def table(**columns: list[float]) -> DataFrame:
    return DataFrame({"ch": [8, 8, 16, 16, 32, 32]} | columns)


def test_the_means_over_the_seeds_run_from_0_to_1() -> None:
    """(10 + 30) / 2, (1 + 3) / 2 and (100 + 104) / 2, so that 2 is 0 and 102 is 1."""
    values = np.array([10.0, 30.0, 1.0, 3.0, 100.0, 104.0])
    found = scaled(table(log10_l2_over_margin2=list(np.log10(values))), "l2", "ch")
    assert list(found) == pytest.approx(list((values - 2) / 100))


@pytest.mark.parametrize("shift", [300.0, 4000.0, -4000.0])
def test_no_norm_is_too_large_or_too_small_to_be_scaled(shift: float) -> None:
    logarithms = np.array([1.0, 1.2, 0.0, 0.3, 2.0, 2.1])
    plain = scaled(table(log10_l2_over_margin2=list(logarithms)), "l2", "ch")
    far = scaled(table(log10_l2_over_margin2=list(logarithms + shift)), "l2", "ch")
    assert list(far) == pytest.approx(list(plain))


def test_sharpness_is_scaled_as_it_is() -> None:
    found = scaled(table(max_sharpness=[0.0, 0.0, 1.0, 1.0, 4.0, 4.0]), "sharpness", "ch")
    assert list(found) == [0, 0, 0.25, 0.25, 1, 1]


def test_what_does_not_change_has_no_scale() -> None:
    assert scaled(table(max_sharpness=[0.5] * 6), "sharpness", "ch").isna().all()


def test_what_the_paper_has_scaled_stays() -> None:
    found = scaled(table(scaled_l2=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), "l2", "ch")
    assert list(found) == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
