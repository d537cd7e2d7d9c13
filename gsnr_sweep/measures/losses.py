"""Losses and accuracies, averaged over the replicas."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gsnr_sweep.ensemble.snapshot import Snapshot


def losses(snapshot: Snapshot) -> dict[str, float]:
    """Losses L[D], L[D'] and the generalization gap (Liu et al. 2020, eq. 3), before the step.

    Returns:
        ``train_loss``, ``test_loss``, ``gen_gap`` = L[D'] − L[D], ``train_acc``, ``test_acc``
        (shares in [0, 1]; NaN for a regression).
    """
    train, test = float(snapshot.train_loss.mean()), float(snapshot.test_loss.mean())
    return {
        "train_loss": train,
        "test_loss": test,
        "gen_gap": test - train,
        "train_acc": float(snapshot.train_accuracy.mean()),
        "test_acc": float(snapshot.test_accuracy.mean()),
    }
