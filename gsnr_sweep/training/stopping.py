"""What is judged after each epoch on the whole training set: stopping rules, and milestones."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from gsnr_sweep.training.replica import NO_PARAMETER, Replica
from gsnr_sweep.training.settings import StopConfig

ZERO_ERROR = f"{NO_PARAMETER}zero_error"
"""What the epoch of first zero error is called in a replica's state."""
LOSS_MILESTONES = (0.1, 0.01)
"""Training losses whose first epochs are kept (Jiang et al. 2020)."""


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


class Milestones:
    """The epochs after which each replica passed some marks for the first time.

    The marks are a training error of zero, and training losses of at most `LOSS_MILESTONES`.
    """

    def __init__(self, losses: TrainingLosses) -> None:
        """Judge these replicas."""
        self._losses = losses
        self._first = [dict.fromkeys(_MARKS, math.nan) for _ in range(len(losses))]

    def judge(self, epoch: int, marks: Sequence[str]) -> None:
        """Look at the replicas that have not passed some marks yet, after so many epochs.

        Args:
            epoch: Epochs that have passed.
            marks: Which; those of the others are not looked for.
        """
        for m, first in enumerate(self._first):
            to_come = [mark for mark in marks if math.isnan(first[mark])]
            if not to_come:
                continue
            loss, error = self._losses.at(m, epoch)
            first |= {mark: float(epoch) for mark in to_come if _MARKS[mark](loss, error)}

    def epochs(self, mark: str) -> Tensor:
        """[M] epochs that had passed then, float64; NaN for those who have not been there.

        Args:
            mark: `ZERO_ERROR`, or `loss_mark` of one of the losses.
        """
        return torch.tensor([first[mark] for first in self._first], dtype=torch.float64)

    def state(self, m: int) -> dict[str, Tensor]:
        """Return what a replica's state must hold of it; nothing before."""
        known = {mark: at for mark, at in self._first[m].items() if not math.isnan(at)}
        return {mark: torch.tensor(at, dtype=torch.float64) for mark, at in known.items()}

    def load_state(self, m: int, state: dict[str, Tensor]) -> None:
        """Take over what `state` returned earlier."""
        self._first[m] = {mark: float(state.get(mark, math.nan)) for mark in _MARKS}


def loss_mark(loss: float) -> str:
    """Return what the epoch of first reaching a training loss is called in a replica's state."""
    return f"{NO_PARAMETER}loss_{loss:g}"


def _reaches(loss: float) -> Callable[[float, float], bool]:
    return lambda own, _: own <= loss


_MARKS: dict[str, Callable[[float, float], bool]] = {
    ZERO_ERROR: lambda _, error: error == 0,
    **{loss_mark(loss): _reaches(loss) for loss in LOSS_MILESTONES},
}
