"""The toy regression against the moments of its definition."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from gsnr_sweep.data.registry import distribution
from gsnr_sweep.data.samples import Samples
from gsnr_sweep.data.settings import ToyConfig

N = 40_000


def _draw(eta: float, n: int = N, m: int = 0, seed: int = 0) -> Samples:
    cfg = ToyConfig(name="toy", noisy_test=True, label_noise="uniform", eta=eta)
    return distribution(cfg).train_set(n, m, seed)


def _arrays(samples: Samples) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return samples.x.numpy(), samples.y.numpy()[:, 0]


def test_inputs_are_uniform_on_the_square() -> None:
    x, _ = _arrays(_draw(0.2))
    assert x.shape == (N, 2)
    assert x.min() >= -1
    assert x.max() <= 1
    assert np.abs(x.mean(0)).max() < 4.5 * math.sqrt(1 / 3 / N)
    assert np.abs(x.var(0) - 1 / 3).max() < 4.5 * math.sqrt(4 / 45 / N)  # var of x² is 4/45
    assert abs(np.corrcoef(x.T)[0, 1]) < 4.5 / math.sqrt(N)


@pytest.mark.parametrize("eta", [0.2, 2.0, 8.0])
def test_noise_is_uniform_of_half_width_eta(eta: float) -> None:
    x, y = _arrays(_draw(eta))
    noise = y - x[:, 0] * x[:, 1]
    assert np.abs(noise).max() <= eta
    assert np.abs(noise).max() > 0.999 * eta
    assert abs(noise.mean()) < 4.5 * eta / math.sqrt(3 * N)
    assert noise.var() == pytest.approx(eta**2 / 3, rel=0.03)
    assert y.var() == pytest.approx(1 / 9 + eta**2 / 3, rel=0.03)
    assert abs(np.corrcoef(noise, x[:, 0] * x[:, 1])[0, 1]) < 4.5 / math.sqrt(N)


def test_without_noise_the_target_is_the_product() -> None:
    x, y = _arrays(_draw(0.0, 100))
    np.testing.assert_array_equal(y, x[:, 0] * x[:, 1])


def test_eta_scales_the_same_noise_on_the_same_inputs() -> None:
    (x1, y1), (x2, y2) = _arrays(_draw(1.0, 100)), _arrays(_draw(3.0, 100))
    np.testing.assert_array_equal(x1, x2)
    np.testing.assert_allclose(y2 - x2[:, 0] * x2[:, 1], 3 * (y1 - x1[:, 0] * x1[:, 1]), atol=1e-12)


def test_a_longer_set_begins_like_a_shorter_one() -> None:
    (x1, y1), (x2, y2) = _arrays(_draw(0.5, 20)), _arrays(_draw(0.5, 90))
    np.testing.assert_array_equal(x1, x2[:20])
    np.testing.assert_array_equal(y1, y2[:20])


def test_it_is_a_regression_of_one_target() -> None:
    spec = distribution(ToyConfig("toy", True, "uniform", 0.2)).spec
    assert (spec.task, spec.n_outputs, spec.input_shape) == ("regression", 1, (2,))
    assert (spec.n_train, spec.n_test) == (None, None)
