"""Losses and accuracies, averaged over the replicas."""

from __future__ import annotations

from gsnr_sweep.training.snapshot import Snapshot


def losses(snapshot: Snapshot) -> dict[str, float]:
    """Losses L[D], L[D'] and the generalization gap (Liu et al. 2020, eq. 3), before the step.

    Returns:
        ``train_loss``, ``test_loss``, ``gen_gap`` = L[D'] − L[D]; for a classification also
        ``train_acc`` and ``test_acc``, shares in [0, 1].
    """
    train, test = float(snapshot.train_loss.mean()), float(snapshot.test_loss.mean())
    values = {"train_loss": train, "test_loss": test, "gen_gap": test - train}
    if not bool(snapshot.train_accuracy.isnan().any()):
        values["train_acc"] = float(snapshot.train_accuracy.mean())
        values["test_acc"] = float(snapshot.test_accuracy.mean())
    return values
