"""Training sets that did not train a replica, at its weights: where Assumption 2.3.1 breaks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gsnr_sweep.gradients.parameters import Parameter
from gsnr_sweep.measures.ratio import leave_one_out, ratio, variance_over_sets
from gsnr_sweep.measures.requires import requires
from gsnr_sweep.measures.undefined import Undefined
from gsnr_sweep.training.replica import Replica
from gsnr_sweep.training.snapshot import Snapshot

_PASSES = 30.0  # about ten other sets, forward and backward
ONE_SET = "with a single training set there is no other one: raise n_sets"


@dataclass(frozen=True)
class FreshSets:
    """Gradients of the other replicas' training sets D_k at the weights of one replica.

    Attributes:
        mean: [P] mean over k of g_k, float64.
        sq_norm: Mean over k of ‖g_k‖².
        variance: Mean over k of Σ_j ρ²_k,j, with 1/(n − 1).
        between: Σ_j of the variance of g_k,j over k; NaN for a single one.
    """

    mean: Tensor
    sq_norm: float
    variance: float
    between: float


def look_at_fresh_sets(
    replica: Replica, followed: tuple[Parameter, ...] = ()
) -> FreshSets | Undefined:
    """Measure the other training sets at a replica's weights.

    Args:
        replica: At θ_t, its normalization statistics those of its own training set.
        followed: Not used.
    """
    del followed
    if not replica.others:
        return Undefined(ONE_SET)
    count = len(replica.others)
    total: Tensor | None = None
    sq_norm = variance = 0.0
    for samples in replica.others:
        moments = replica.engine.moments(samples, lambda *_: None, signs=False)
        n = moments.count
        gradient = moments.sum.cpu() / n
        spread = moments.sum_of_squares.cpu() / n - gradient.square()
        total = gradient if total is None else total + gradient
        sq_norm += float(gradient.square().sum())
        variance += float(spread.clamp_min(0).sum()) * n / (n - 1)
    assert total is not None
    mean = total / count
    between = math.nan
    if count > 1:
        between = (sq_norm - count * float(mean.square().sum())) / (count - 1)
    return FreshSets(mean, sq_norm / count, variance / count, between)


@requires(probe=look_at_fresh_sets, probe_passes=_PASSES)
def fresh_sets(snapshot: Snapshot) -> dict[str, float]:
    """Compare each replica's own training set with those of the others, at its own weights.

    Eq. (19) of Liu et al. 2020 takes the gradient g_D of the training set D for an independent
    draw at θ_t: that is Assumption 2.3.1, and it holds at the start alone, for θ_t was fitted to D.
    The M − 1 sets D_k that trained other replicas are such draws, and no test data. M(M − 1)
    passes with per-sample gradients.

    Returns:
        ``osgr_fresh`` = Σ_m g_m · ḡ_k≠m / Σ_m ‖g_m‖², the one-step generalization ratio to first
        order with fresh sets for the test set, and ``osgr_fresh_se``, the jackknife over
        the M replicas; under the assumption it is eq. (19)'s right side.
        ``own_over_fresh_sq_norm`` = Σ_m ‖g_m‖² / Σ_m mean_k ‖g_k‖² and
        ``own_over_fresh_variance``, the same of Σ_j ρ²_j: 1 under the assumption.
        ``between_over_within_variance`` = n Σ_m Var_k(g_k) / Σ_m mean_k ρ²_k: eq. (8) has 1.
        `Undefined` with a single training set.
    """
    found = snapshot.probed[fresh_sets.__name__]
    names = (
        *("osgr_fresh", "osgr_fresh_se", "own_over_fresh_sq_norm"),
        *("own_over_fresh_variance", "between_over_within_variance"),
    )
    if any(isinstance(one, Undefined) for one in found):
        return {name: Undefined(ONE_SET) for name in names if not name.endswith("_se")}
    cross, own = _products(snapshot)
    unbiased = snapshot.plugin_variance.sum(1) * (snapshot.n / (snapshot.n - 1))
    variance = _vector([one.variance for one in found])
    values = (
        ratio(cross, own),
        math.sqrt(variance_over_sets(leave_one_out(cross, own), snapshot.n, snapshot.pool)),
        ratio(own, _vector([one.sq_norm for one in found])),
        ratio(unbiased, variance),
        ratio(snapshot.n * _vector([one.between for one in found]), variance),
    )
    return dict(zip(names, values, strict=True))


def fresh_ratio(snapshot: Snapshot) -> float:
    """Return ``osgr_fresh`` of a snapshot that `fresh_sets` was asked of."""
    if any(isinstance(one, Undefined) for one in snapshot.probed[fresh_sets.__name__]):
        return Undefined(ONE_SET)
    return ratio(*_products(snapshot))


def _products(snapshot: Snapshot) -> tuple[Tensor, Tensor]:
    """Return g_m · ḡ_k≠m and ‖g_m‖² of each replica, [M] each."""
    means = torch.stack([one.mean for one in snapshot.probed[fresh_sets.__name__]])
    return (snapshot.gradient * means).sum(1), snapshot.gradient.square().sum(1)


def _vector(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)
