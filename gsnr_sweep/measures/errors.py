"""Training error, test error, and the steps until the training error was zero."""

from __future__ import annotations

from gsnr_sweep.measures.requires import requires
from gsnr_sweep.measures.steps_to_loss import steps_to
from gsnr_sweep.training.milestones import ZERO_ERROR
from gsnr_sweep.training.snapshot import Snapshot


@requires(milestones=[ZERO_ERROR])
def errors(snapshot: Snapshot) -> dict[str, float]:
    """Shares of misclassified samples, averaged over the replicas (Neyshabur et al. 2017).

    Returns:
        ``train_error`` and ``test_error`` in [0, 1], ``gen_error`` = test_error − train_error, and
        ``steps_to_zero_error``, the training rule's steps before the first epoch's end at which no
        training sample was misclassified; all NaN for a regression.
    """
    train = 1 - float(snapshot.train_accuracy.mean())
    test = 1 - float(snapshot.test_accuracy.mean())
    never = "the training error has not been zero"
    return {
        "train_error": train,
        "test_error": test,
        "gen_error": test - train,
        "steps_to_zero_error": steps_to(snapshot, ZERO_ERROR, never),
    }
