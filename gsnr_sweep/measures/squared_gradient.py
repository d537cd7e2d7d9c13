"""The squared gradient mean, GSNR's numerator, by the sign of the weight and its gradient."""

from __future__ import annotations

from gsnr_sweep.measures.requires import require, requires
from gsnr_sweep.measures.weight_groups import mean_in_group, weight_groups
from gsnr_sweep.training.snapshot import Snapshot


@requires(weights=True)
def squared_gradient(snapshot: Snapshot) -> dict[str, float]:
    """Mean of g²_D,j over the weights (Liu et al. 2020, 3.3: it "tends to increase" early).

    It holds noise: E(g²_D) = g̃² + ρ²/n (eq. 8). Without it, g²_D − ρ²/n with the unbiased ρ², which
    may be negative. Each mean is taken replica by replica, then averaged.

    Returns:
        ``grad_sq_mean``; ``grad_sq_mean_opposite`` and ``grad_sq_mean_same`` over the weights with
        W·g < 0 and with W·g > 0; ``grad_sq_debiased`` without the noise; each also for the groups
        of `weight_groups`; NaN where there is no such weight.
    """
    weights, gradient = require(snapshot.weights), snapshot.gradient
    squares, state = gradient.square(), weights.sign() * gradient.sign()
    variance = snapshot.plugin_variance / (snapshot.n - 1)
    every = state.isfinite()
    values: dict[str, float] = {}
    for group, columns in weight_groups(snapshot.parameters, weights).items():
        for name, of, where in (
            ("grad_sq_mean", squares, every),
            ("grad_sq_mean_opposite", squares, state < 0),
            ("grad_sq_mean_same", squares, state > 0),
            ("grad_sq_debiased", squares - variance, every),
        ):
            values[f"{name}{group}"] = mean_in_group(of, where, columns)
    return values
