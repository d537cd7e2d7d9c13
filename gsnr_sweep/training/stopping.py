"""When training ends before its last epoch."""

from __future__ import annotations

from collections.abc import Sequence

from gsnr_sweep.training.replica import Replica
from gsnr_sweep.training.settings import StopConfig


class Stopping:
    """Rules of stopping: all of them, for every replica, at one and the same epoch.

    They are judged on the whole training set in evaluation mode. Replicas are measured together, so
    they stop together: at the first epoch at which none of them breaks a rule.
    """

    def __init__(self, settings: StopConfig, replicas: Sequence[Replica]) -> None:
        """Judge these replicas by these rules."""
        self._settings, self._replicas = settings, list(replicas)
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
            self._judged = (epoch, self._are_met())
        return " and ".join(self._settings.rules) if self._judged[1] else ""

    def _are_met(self) -> bool:
        for place, replica in enumerate(self._replicas):
            if not self._is_met(replica):
                # Who is the last to come so far is asked first next time.
                self._replicas.insert(0, self._replicas.pop(place))
                return False
        return True

    def _is_met(self, replica: Replica) -> bool:
        replica.fix_statistics()
        losses, rules = replica.losses(replica.train), self._settings
        if rules.train_loss is not None and not losses.mean <= rules.train_loss:
            return False
        return rules.train_error is None or losses.error <= rules.train_error
