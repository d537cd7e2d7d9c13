"""What is judged after each epoch on the whole training set, and the rules that stop training."""

from __future__ import annotations

from collections.abc import Sequence

from gsnr_sweep.training.replica import Replica
from gsnr_sweep.training.settings import StopConfig


class TrainingLosses:
    """Loss and error of the replicas' training sets, in evaluation mode, once an epoch."""

    def __init__(self, replicas: Sequence[Replica]) -> None:
        """Judge these replicas."""
        self._replicas = replicas
        self._known: dict[int, tuple[int, float, float]] = {}

    def __len__(self) -> int:
        return len(self._replicas)

    def at(self, m: int, epoch: int) -> tuple[float, float]:
        """Return loss and share of misclassified samples of replica m's training set.

        Args:
            m: The replica's number.
            epoch: Epochs that it has behind it; it must stand there.
        """
        known = self._known.get(m)
        if known is None or known[0] != epoch:
            replica = self._replicas[m]
            replica.fix_statistics()
            losses = replica.losses(replica.train)
            known = self._known[m] = epoch, losses.mean, losses.error
        return known[1:]


class Stopping:
    """Rules of stopping: all of them, for every replica, at one and the same epoch.

    Replicas are measured together, so they stop together: at the first epoch at which none of them
    breaks a rule.
    """

    def __init__(self, settings: StopConfig, losses: TrainingLosses) -> None:
        """Judge replicas by these rules."""
        self._settings, self._losses = settings, losses
        self._order = list(range(len(losses)))
        self._judged: tuple[int, bool] = (-1, False)

    @property
    def is_asked(self) -> bool:
        """Whether there is a rule at all."""
        return bool(self._settings.rules)

    def met_at(self, epoch: int) -> str:
        """Return the rules if they are met at the present weights, after so many epochs.

        Returns:
            Their keys, joined by "and"; empty if one is not met, or there are none.
        """
        if not self.is_asked:
            return ""
        if self._judged[0] != epoch:
            self._judged = (epoch, self._are_met(epoch))
        return " and ".join(self._settings.rules) if self._judged[1] else ""

    def _are_met(self, epoch: int) -> bool:
        for place, m in enumerate(self._order):
            if not self._is_met(m, epoch):
                # Who is the last to come so far is asked first next time.
                self._order.insert(0, self._order.pop(place))
                return False
        return True

    def _is_met(self, m: int, epoch: int) -> bool:
        (loss, error), rules = self._losses.at(m, epoch), self._settings
        if rules.train_loss is not None and not loss <= rules.train_loss:
            return False
        return rules.train_error is None or error <= rules.train_error
