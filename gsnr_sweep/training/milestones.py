"""When training got somewhere for the first time: to no error, to small losses."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from gsnr_sweep.training.replica import NO_PARAMETER
from gsnr_sweep.training.stopping import TrainingLosses

ZERO_ERROR, LOSS_A_TENTH, LOSS_A_HUNDREDTH = "zero_error", "loss_0.1", "loss_0.01"
MARKS: dict[str, Callable[[float, float], bool]] = {
    ZERO_ERROR: lambda _, error: error == 0,
    LOSS_A_TENTH: lambda loss, _: loss <= 0.1,
    LOSS_A_HUNDREDTH: lambda loss, _: loss <= 0.01,
}
"""By mark whether the training set's loss and error are there (losses: Jiang et al. 2020)."""


class Milestones:
    """The epochs after which each replica passed the marks for the first time."""

    def __init__(self, losses: TrainingLosses) -> None:
        """Judge these replicas."""
        self._losses = losses
        self._first = [dict.fromkeys(MARKS, math.nan) for _ in range(len(losses))]

    def judge(self, epoch: int, marks: Iterable[str]) -> None:
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
            first |= {mark: float(epoch) for mark in to_come if MARKS[mark](loss, error)}

    def epochs(self, mark: str) -> Tensor:
        """[M] epochs that had passed then, float64; NaN for those who have not been there.

        Args:
            mark: One of `MARKS`.
        """
        return torch.tensor([first[mark] for first in self._first], dtype=torch.float64)

    def state(self, m: int) -> dict[str, Tensor]:
        """Return what a replica's state must hold of it; nothing before."""
        known = {mark: at for mark, at in self._first[m].items() if not math.isnan(at)}
        return {_key(mark): torch.tensor(at, dtype=torch.float64) for mark, at in known.items()}

    def load_state(self, m: int, state: dict[str, Tensor]) -> None:
        """Take over what `state` returned earlier."""
        self._first[m] = {mark: float(state.get(_key(mark), math.nan)) for mark in MARKS}


def _key(mark: str) -> str:
    """Return what a mark's epoch is called in a replica's state."""
    return f"{NO_PARAMETER}{mark}"
