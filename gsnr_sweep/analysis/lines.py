"""Straight lines through points: least squares, and with errors in both coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """Means, variances and covariance of points (x, y); each an array over samples of them.

    Attributes:
        x: Mean of x.
        y: Mean of y.
        xx: Variance of x.
        xy: Covariance.
        yy: Variance of y.
    """

    x: Vector
    y: Vector
    xx: Vector
    xy: Vector
    yy: Vector

    @classmethod
    def of(cls, x: Vector, y: Vector, weights: Vector) -> Moments:
        """Compute them for several samples at once.

        Args:
            x: Shape (points,).
            y: Shape (points,).
            weights: How often each point is in each sample, shape (samples, points).
        """
        shares = weights / weights.sum(1, keepdims=True)
        mean_x, mean_y = shares @ x, shares @ y
        dx, dy = x - mean_x[:, None], y - mean_y[:, None]
        with np.errstate(over="ignore", invalid="ignore"):  # of what is too large there is no line
            products = [(shares * product).sum(1) for product in (dx * dx, dx * dy, dy * dy)]
        return cls(mean_x, mean_y, *products)

    def least_squares(self) -> Vector:
        """Return the slope of the least-squares line of y on x; NaN where x is constant."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.xx > 0, self.xy / self.xx, np.nan)

    def deming(self, xx: Vector, xy: Vector, yy: Vector) -> Vector:
        """Return the slope of the line of least distance where both coordinates have errors.

        The slope b minimizes Σ (y − ȳ − b (x − x̄))² / (σ_yy − 2 b σ_xy + b² σ_xx), the maximum
        likelihood for normal errors whose covariances σ are known up to a factor (Deming 1943;
        with correlated errors Fuller 1987, sec. 1.3). It solves A b² + B b + C = 0 with
        A = σ_xx s_xy − σ_xy s_xx, B = σ_yy s_xx − σ_xx s_yy, C = σ_xy s_yy − σ_yy s_xy.

        Args:
            xx: Variance σ_xx of the errors of x, one for each sample.
            xy: Covariance of the errors.
            yy: Variance of those of y.

        Returns:
            NaN where no line is best, or the best one is upright.
        """
        with np.errstate(all="ignore"):
            a = xx * self.xy - xy * self.xx
            b = yy * self.xx - xx * self.yy
            c = xy * self.yy - yy * self.xy
            root = np.sqrt(np.maximum(b**2 - 4 * a * c, 0.0))
            # Of the two forms of the solution the one in which nothing cancels.
            slope = np.where(b > 0, -2 * c / (b + root), (root - b) / (2 * a))
        return np.where(np.isfinite(slope), slope, np.nan)
