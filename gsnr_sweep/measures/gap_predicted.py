"""The generalization gap as eq. (19) predicts it, summed over training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from gsnr_sweep.measures.fresh_sets import fresh_ratio, fresh_sets
from gsnr_sweep.measures.losses import losses
from gsnr_sweep.measures.osgr_lhs import loss_ratio
from gsnr_sweep.measures.osgr_rhs import gradient_ratio, noise_and_power
from gsnr_sweep.measures.requires import requires
from gsnr_sweep.measures.undefined import Undefined
from gsnr_sweep.training.snapshot import Snapshot

RATE = "gap_rate_noise"
# Of the rule's own steps; the others stand in where those were not measured.
_RHS, _LHS = ("osgr_own_rhs", "osgr_rhs"), ("osgr_own_lhs_epoch", "osgr_lhs")
_FRESH = ("osgr_fresh",)


@dataclass(frozen=True)
class _Point:
    """A measured place of the course.

    Attributes:
        step: Steps of the training rule before.
        train_loss: L[D] there.
        value: What is summed.
    """

    step: float
    train_loss: float
    value: float


@requires(own_steps=True)
def gap_predicted(snapshot: Snapshot) -> dict[str, float]:
    """Sum the growth of the generalization gap that either side of eq. (19) implies.

    A one-step generalization ratio R says that of a decrease ΔL[D] of the training loss the share
    R carries over to the test loss; the gap grows by the rest. Over training (Liu et al. 2020, eq.
    4, summed; no paper has the sum):

        gap(T) = gap(0) + Σ_t (L_t[D] − L_{t+1}[D]) (1 − R_t),

    where gap(0) is 0 in expectation, since initial weights know no data. Between two measured
    epochs R is taken for the mean of its values there (the trapezoidal rule), so measure often
    while the loss falls fast: ``measure_at=log:30``.

    Returns:
        ``gap_predicted_rhs``, by the right side (24), without any test data;
        ``gap_predicted_lhs``, by the left side (23), which is the sum's own check;
        ``gap_predicted_fresh``, by ``osgr_fresh``, where that is measured;
        ``gap_predicted_noise`` = Σ_t Σ_j λ_j ρ²_j / n, by eq. (14) alone; and what it sums,
        ``gap_rate_noise``, a step's share of it. With a training rule of its own both sides are
        those of its steps (``osgr_own_rhs``, ``osgr_own_lhs_epoch``). `Undefined` if the run did
        not measure epoch 0, or not what is summed.
    """
    present = _present(snapshot)
    sums = {
        "gap_predicted_rhs": _by_ratio(snapshot, present, _RHS),
        "gap_predicted_lhs": _by_ratio(snapshot, present, _LHS),
        "gap_predicted_noise": _by_rate(snapshot, present),
    }
    if _FRESH[0] in present:
        sums["gap_predicted_fresh"] = _by_ratio(snapshot, present, _FRESH)
    return {RATE: present[RATE], **sums}


def _present(snapshot: Snapshot) -> dict[str, float]:
    """Measure what is summed at this epoch."""
    rates = snapshot.preconditioner
    values = {"train_loss": losses(snapshot)["train_loss"]}
    values[_RHS[0]], _ = gradient_ratio(snapshot, 1.0 if rates is None else rates)
    values[_LHS[0]], _ = loss_ratio(snapshot, snapshot.own.get("epoch", snapshot.after))
    if rates is None:
        values[RATE] = Undefined("how far the training rule moves each weight is not known")
    else:
        values[RATE] = float(noise_and_power(snapshot, rates)[0].mean())
    if fresh_sets.__name__ in snapshot.probed:
        values[_FRESH[0]] = fresh_ratio(snapshot)
    return values


def _by_ratio(snapshot: Snapshot, present: dict[str, float], names: Sequence[str]) -> float:
    """Return Σ_t (L_t − L_{t+1}) (1 − R_t)."""
    points = _course(snapshot, present, names)
    if isinstance(points, Undefined):
        return points
    return sum(
        (a.train_loss - b.train_loss) * (1 - (a.value + b.value) / 2) for a, b in pairwise(points)
    )


def _by_rate(snapshot: Snapshot, present: dict[str, float]) -> float:
    """Return Σ_t of what a step adds."""
    points = _course(snapshot, present, [RATE])
    if isinstance(points, Undefined):
        return points
    return sum((b.step - a.step) * (a.value + b.value) / 2 for a, b in pairwise(points))


def _course(
    snapshot: Snapshot, present: dict[str, float], names: Sequence[str]
) -> list[_Point] | Undefined:
    """Return the points of the course up to now, or why they do not reach back to its start."""
    now = present[names[0]]
    if isinstance(now, Undefined):
        return now
    points = [*_before(snapshot, names), _Point(snapshot.step, present["train_loss"], now)]
    if points[0].step > 0:
        return Undefined(
            f"{names[0]} at epoch 0 is needed to sum from the start: let measure_at begin at 0"
        )
    return points


def _before(snapshot: Snapshot, names: Sequence[str]) -> Iterator[_Point]:
    """Return the earlier points, each with the first of some metrics that it has."""
    for one in snapshot.earlier:
        name = next((name for name in names if name in one.metrics), None)
        if name is not None and "train_loss" in one.metrics:
            step = one.epoch if one.step is None else one.step
            yield _Point(step, one.metrics["train_loss"], one.metrics[name])
