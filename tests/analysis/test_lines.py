"""The line with errors in both coordinates against a search for the least distance."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from gsnr_sweep.analysis.lines import Moments

RNG = np.random.default_rng(4)
X = RNG.uniform(0, 1, 30)
Y = 0.2 + 1.3 * X + RNG.normal(0, 0.2, 30)
ERRORS = [(0.04, 0.0, 0.01), (0.01, 0.005, 0.03), (0.02, -0.015, 0.02), (0.0, 0.0, 0.1)]


def moments(x: np.ndarray, y: np.ndarray) -> Moments:
    return Moments.of(x, y, np.ones((1, len(x))))


def found(x: np.ndarray, y: np.ndarray, errors: tuple[float, float, float]) -> float:
    return float(moments(x, y).deming(*(np.array([each]) for each in errors))[0])


@pytest.mark.parametrize("errors", ERRORS)
@pytest.mark.parametrize("sign", [1, -1])
def test_deming_is_the_line_of_least_distance(
    errors: tuple[float, float, float], sign: int
) -> None:
    xx, xy, yy = errors[0], sign * errors[1], errors[2]
    x, y = X - X.mean(), sign * (Y - Y.mean())

    def distance(angle: float) -> float:
        b = np.tan(angle)
        return float(((y - b * x) ** 2).sum() / (yy - 2 * b * xy + b**2 * xx))

    angles = np.linspace(-1.57, 1.57, 2001)
    best = angles[np.argmin([distance(angle) for angle in angles])]
    bounds = (best - 0.01, best + 0.01)
    exact = minimize_scalar(distance, bounds=bounds, method="bounded", options={"xatol": 1e-12})
    assert found(X, sign * Y, (xx, xy, yy)) == pytest.approx(np.tan(exact.x), rel=1e-5)


def test_deming_without_errors_of_x_is_least_squares() -> None:
    slope = np.polyfit(X, Y, 1)[0]
    assert found(X, Y, (0.0, 0.0, 0.1)) == pytest.approx(slope, rel=1e-12)
    assert moments(X, Y).least_squares() == pytest.approx([slope], rel=1e-12)
    assert found(X, Y, (0.1, 0.0, 0.0)) == pytest.approx(1 / np.polyfit(Y, X, 1)[0], rel=1e-12)


def test_deming_finds_the_slope_that_least_squares_flattens() -> None:
    rng = np.random.default_rng(0)
    true = rng.uniform(0, 1, 20_000)
    common = rng.normal(0, 0.1, 20_000)
    x = true + rng.normal(0, 0.3, 20_000) + common
    y = true + rng.normal(0, 0.1, 20_000) + common
    assert moments(x, y).least_squares()[0] < 0.6
    assert found(x, y, (0.1, 0.01, 0.02)) == pytest.approx(1, abs=0.03)


def test_points_are_counted_as_often_as_their_weights_say() -> None:
    weights = RNG.integers(0, 4, 30)
    x, y = np.repeat(X, weights), np.repeat(Y, weights)
    several = Moments.of(X, Y, np.stack([np.ones(30), weights]))
    errors = [np.full(2, each) for each in ERRORS[1]]
    assert several.deming(*errors) == pytest.approx(
        [found(*p, ERRORS[1]) for p in ((X, Y), (x, y))]
    )
    assert several.least_squares()[1] == pytest.approx(np.polyfit(x, y, 1)[0])


@pytest.mark.parametrize(
    ("x", "y", "errors"),
    [
        ([0, 0, 0], [0, 1, 2], (0.1, 0, 0.1)),  # upright
        ([0, 1, 2], [0, 1, 3], (0, 0, 0)),  # no errors: no line is better than another
        ([1e300, -1e300, 0], [0, 1, 2], (0.1, 0, 0.1)),
    ],
)
def test_no_line_is_not_a_number(x: list[float], y: list[float], errors: tuple[float, ...]) -> None:
    assert np.isnan(found(np.array(x, dtype=float), np.array(y, dtype=float), errors))
