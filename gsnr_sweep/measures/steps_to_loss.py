"""How many steps the training took to get somewhere."""

from __future__ import annotations

from gsnr_sweep.measures.requires import requires
from gsnr_sweep.measures.undefined import Undefined
from gsnr_sweep.training.milestones import LOSS_A_HUNDREDTH, LOSS_A_TENTH
from gsnr_sweep.training.snapshot import Snapshot


@requires(milestones=[LOSS_A_TENTH, LOSS_A_HUNDREDTH])
def steps_to_loss(snapshot: Snapshot) -> dict[str, float]:
    """The training rule's steps until the training loss was small (Jiang et al. 2020, section 8).

    Judged after each epoch on the whole training set, averaged over the replicas.

    Returns:
        ``steps_to_loss_0.1``, before the loss was at most 0.1 for the first time, and
        ``steps_from_loss_0.1_to_0.01``, from there until it was at most 0.01; `Undefined` if a
        replica's loss has not been as small.
    """
    first = steps_to(snapshot, LOSS_A_TENTH, "the training loss has not been at most 0.1")
    second = steps_to(snapshot, LOSS_A_HUNDREDTH, "the training loss has not been at most 0.01")
    between = second if isinstance(second, Undefined) else second - first
    return {"steps_to_loss_0.1": first, "steps_from_loss_0.1_to_0.01": between}


def steps_to(snapshot: Snapshot, mark: str, never: str) -> float:
    """Return the mean over the replicas of the steps to a mark of `training.milestones`.

    Args:
        snapshot: Of a training that was followed, or of given weights.
        mark: Which; the measure must be marked as one that reads it.
        never: What to say if a replica has not been there.
    """
    steps = snapshot.milestones.get(mark)
    if steps is None:
        return Undefined("the training was not followed")
    return Undefined(never) if bool(steps.isnan().any()) else float(steps.mean())
