"""Sign errors by environment against the reference values."""

import numpy as np
import pytest

from gsnr_sweep.analysis.ranking.sign_error import environments, hoeffding_weights, summary
from gsnr_sweep.analysis.seeds import Resamples
from tests.analysis.ranking.made_up import REFERENCE, agreement, grid, reference

N_TEST = 10_000


@pytest.mark.parametrize(("n_test", "kind"), [(None, "mean"), (N_TEST, "weighted")])
def test_reference_values(n_test: int | None, kind: str) -> None:
    networks, measure = reference()
    found = environments(networks, agreement(networks, measure), Resamples(1), n_test)
    named = {
        f"{one.axis}:{values[one.low]:g}->{values[one.high]:g}": one.error[0]
        for one in found
        for values in [networks.axes[one.axis].values]
    }
    expected = {name: both[kind] for name, both in REFERENCE["sign_errors"].items()}
    assert named == pytest.approx(expected, abs=1e-12)


def test_robust_sign_error_is_the_maximum() -> None:
    networks, measure = reference()
    found = environments(networks, agreement(networks, measure), Resamples(1), None)
    assert summary(found) is None  # at most nine pairs in each
    all_of_them = summary(found, least=0)
    assert all_of_them is not None
    assert all_of_them[2][0] == pytest.approx(REFERENCE["robust_sign_error_max"])


def test_weights() -> None:
    expected = REFERENCE["hoeffding_weight_at_0p05_n10000"]
    found = hoeffding_weights(np.array([0.05, -0.05, 0.0, 1e-3]), N_TEST)
    np.testing.assert_allclose(found, [expected, expected, 0, 0], rtol=1e-12)


def test_effective_samples() -> None:
    networks, measure = grid(4)
    found = environments(networks, agreement(networks, measure), Resamples(4, 10), None)
    pairs = {0: 3 * 2 * 4, 1: 3 * 2 * 4, 2: 3 * 3 * 4}
    assert {one.effective for one in found if one.axis == 0} == {pairs[0]}
    assert {one.effective for one in found if one.axis == 2} == {pairs[2]}
    assert len(found) == 3 + 3 + 1
    counted = summary(found)
    assert counted is not None
    mean, tail, worst = (each[0] for each in counted)
    assert 0 <= mean <= tail <= worst <= 1
