"""Right side of eq. (19) for the step that is taken, through batch normalization's statistics."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gsnr_sweep.gradients.parameters import Parameter
from gsnr_sweep.measures.ratio import leave_one_out, ratio, variance_over_sets
from gsnr_sweep.measures.requires import requires
from gsnr_sweep.training.replica import Replica
from gsnr_sweep.training.snapshot import Snapshot

_SIGNS = 16  # random directions: R to ± 0.012 with Table 3's network, n = 200 and M = 4
_PASSES = _SIGNS * 9.0  # values and tangents of statistics, and twice of losses


@dataclass(frozen=True)
class Spread:
    """Variances over a replica's training set of the slopes of its samples' losses.

    Attributes:
        step_sq_norm: ‖d‖² of the gradient d that is stepped along.
        moving: [K] along K random directions, statistics as functions of the weights.
        fixed: [K] along the same ones, statistics fixed.
    """

    step_sq_norm: float
    moving: Tensor
    fixed: Tensor

    def noise(self, exact: Tensor) -> Tensor:
        """Return Σ_j Var(f_j) from that with statistics fixed, which is known.

        Hutchinson's estimate, the mean over random signs v of Var_i(v · f_i), with that of the
        fixed gradients as a control variate (regression estimator, Owen 2013, ch. 8.9).

        Args:
            exact: Σ_j ρ²_j of the gradients with statistics fixed.
        """
        control = self.fixed - self.fixed.mean()
        power = control.square().sum()
        slope = (control @ self.moving) / power if power > 0 else 1.0
        return self.moving.mean() + slope * (exact - self.fixed.mean())


def look_at_spread(replica: Replica, followed: tuple[Parameter, ...] = ()) -> Spread:
    """Measure how slopes of the training set's losses vary along random directions.

    Args:
        replica: At θ_t, its normalization statistics those of its own training set.
        followed: Not used.
    """
    del followed
    gradient, train = replica.gradient(), replica.train
    replica.fix_statistics()
    generator = torch.Generator().manual_seed(0)  # the same at every epoch and for every replica
    pairs = []
    for _ in range(_SIGNS):
        signs = [
            torch.randint(0, 2, g.shape, generator=generator, dtype=g.dtype).mul_(2).sub_(1)
            for g in gradient
        ]
        slopes = (replica.engine.slopes(signs, [train], each) for each in (train, None))
        pairs.append([float(along.double().var(correction=0)) for along in slopes])
    moving, fixed = torch.tensor(pairs, dtype=torch.float64).T
    return Spread(float(sum(g.square().sum() for g in gradient)), moving, fixed)


@requires(probe=look_at_spread, probe_passes=_PASSES)
def osgr_step_rhs(snapshot: Snapshot) -> dict[str, float]:
    """OSGR of the step that is taken, from the per-sample gradients that it is the mean of.

    R = 1 − Σ_j Var_i(f_i,j) / (n Σ_j d_j²), numerator and denominator averaged over the M replicas.
    f_i = ∇_θ ℓ_i(θ, s_D(θ)) is the gradient of a sample's loss as it is evaluated, with the
    training set's statistics s_D as functions of the weights; its mean is d, the gradient that is
    stepped along. This is eq. (19) of Liu et al. 2020 for d, where which samples make up s_D is
    neglected (``docs/measuring.md``). Without batch normalization it is ``osgr_rhs``.

    Returns:
        ``osgr_step_rhs`` and ``osgr_step_rhs_se``, the jackknife over the M sets.
    """
    found: list[Spread] = snapshot.probed[osgr_step_rhs.__name__]
    fixed = snapshot.plugin_variance.sum(1)
    unbiased = snapshot.n / (snapshot.n - 1) if snapshot.variance == "unbiased" else 1.0
    noise = torch.stack([one.noise(known) for one, known in zip(found, fixed, strict=True)])
    noise *= unbiased / snapshot.n
    power = torch.tensor([one.step_sq_norm for one in found], dtype=torch.float64)
    variance = variance_over_sets(leave_one_out(noise, power), snapshot.n, snapshot.pool)
    return {
        "osgr_step_rhs": 1 - ratio(noise, power),
        "osgr_step_rhs_se": math.sqrt(variance),
    }
