"""How many steps the training loss took to get small."""

from __future__ import annotations

from torch import Tensor

from gsnr_sweep.measures.requires import requires
from gsnr_sweep.measures.undefined import Undefined
from gsnr_sweep.training.snapshot import Snapshot

FIRST, SECOND = 0.1, 0.01


@requires(loss_milestones=True)
def steps_to_loss(snapshot: Snapshot) -> dict[str, float]:
    """The training rule's steps until the training loss was small (Jiang et al. 2020, section 8).

    Judged after each epoch on the whole training set, averaged over the replicas.

    Returns:
        ``steps_to_loss_0.1``, before the loss was at most 0.1 for the first time, and
        ``steps_from_loss_0.1_to_0.01``, from there until it was at most 0.01; `Undefined` if a
        replica's loss has not been as small.
    """
    first = _mean(snapshot, FIRST)
    second = _mean(snapshot, SECOND)
    between = second if isinstance(second, Undefined) else second - first
    return {
        f"steps_to_loss_{FIRST:g}": first,
        f"steps_from_loss_{FIRST:g}_to_{SECOND:g}": between,
    }


def _mean(snapshot: Snapshot, loss: float) -> float:
    steps: Tensor | None = snapshot.loss_steps.get(loss)
    if steps is None:
        return Undefined("the training was not followed")
    if bool(steps.isnan().any()):
        return Undefined(f"the training loss has not been at most {loss:g}")
    return float(steps.mean())
