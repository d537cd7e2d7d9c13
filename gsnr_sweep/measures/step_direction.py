"""The step's own direction d, which with batch normalization is not the measured gradient g."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gsnr_sweep.gradients.parameters import Parameter
from gsnr_sweep.measures.fresh_sets import ONE_SET
from gsnr_sweep.measures.ratio import leave_one_out, ratio, variance_over_sets
from gsnr_sweep.measures.requires import requires
from gsnr_sweep.measures.undefined import Undefined
from gsnr_sweep.training.measuring import flat
from gsnr_sweep.training.replica import Replica
from gsnr_sweep.training.snapshot import Snapshot

_PASSES = 36.0  # a gradient; values and tangents of statistics and of about ten other sets


@dataclass(frozen=True)
class StepDirection:
    """The gradient that one replica steps along.

    Attributes:
        gradient: [P] d, float64.
        fresh: d · ∇L[D_k], the mean over the other replicas' training sets D_k of the slope of
            their loss as it is evaluated, with the statistics of the replica's own set.
    """

    gradient: Tensor
    fresh: float | Undefined


def look_along_step(replica: Replica, followed: tuple[Parameter, ...] = ()) -> StepDirection:
    """Measure the slopes of the other training sets' losses along a replica's step.

    Args:
        replica: At θ_t, its normalization statistics those of its own training set.
        followed: Not used.
    """
    del followed
    direction = replica.gradient()
    replica.fix_statistics()
    fresh: float | Undefined = Undefined(ONE_SET)
    if replica.others:
        fresh = float(replica.engine.slopes(direction, replica.others, replica.train).mean())
    return StepDirection(flat(direction), fresh)


@requires(probe=look_along_step, probe_passes=_PASSES)
def step_direction(snapshot: Snapshot) -> dict[str, float]:
    """Compare the step's direction with the measured gradient, and follow fresh sets along it.

    With batch normalization the losses are L[D] = mean_i ℓ_i(θ, s_D(θ)) of the training set and
    L[D'] = mean_k ℓ'_k(θ, s_D(θ)) of the test set, s_D the statistics of the training set (Liu et
    al. 2020, A.2). The step goes along d = ∇L[D] through s_D, and to first order ΔL[D] = λ‖d‖²
    and ΔL[D'] = λ d · ∇L[D'], through s_D as well. The measured per-sample gradients have the mean
    g = ∂L[D]/∂θ at fixed s_D. Without batch normalization d = g. See ``docs/measuring.md``.

    Returns:
        ``step_grad_cosine`` = mean_m cos(g_m, d_m) and ``step_grad_sq_ratio`` = Σ_m ‖d_m‖² /
        Σ_m ‖g_m‖², both 1 without batch normalization. ``osgr_step_fresh`` = Σ_m d_m · ∇L[D_k≠m] /
        Σ_m ‖d_m‖², eq. (23) to first order with the other replicas' training sets in the place of
        the test set, and ``osgr_step_fresh_se``, the jackknife over the M replicas; without batch
        normalization ``osgr_fresh``. `Undefined` with a single training set.
    """
    found: list[StepDirection] = snapshot.probed[step_direction.__name__]
    step = torch.stack([one.gradient for one in found])
    own, measured = step.square().sum(1), snapshot.gradient.square().sum(1)
    cosines = (step * snapshot.gradient).sum(1) / (own * measured).sqrt()
    values: dict[str, float] = {
        "step_grad_cosine": float(cosines.mean()),
        "step_grad_sq_ratio": ratio(own, measured),
    }
    fresh = [one.fresh for one in found]
    if isinstance(fresh[0], Undefined):
        return values | {"osgr_step_fresh": fresh[0]}
    slopes = torch.tensor(fresh, dtype=torch.float64)
    variance = variance_over_sets(leave_one_out(slopes, own), snapshot.n, snapshot.pool)
    return values | {
        "osgr_step_fresh": ratio(slopes, own),
        "osgr_step_fresh_se": math.sqrt(variance),
    }
