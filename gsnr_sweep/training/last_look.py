"""The measured step before the present one, with which measures compare."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from gsnr_sweep.training.replica import NO_PARAMETER
from gsnr_sweep.training.snapshot import Look

_STEP, _WEIGHTS, _GRADIENT = (f"{NO_PARAMETER}look/{n}" for n in ("step", "weights", "gradient"))


class LastLook:
    """What was noted last, replica by replica, kept over an interruption of the run."""

    def __init__(self, replicas: int) -> None:
        """Know nothing of so many replicas."""
        self._own: list[dict[str, Tensor]] = [{} for _ in range(replicas)]

    @property
    def look(self) -> Look | None:
        """The last one; None before the first."""
        if not all(self._own):
            return None
        rows = (torch.stack([own[name] for own in self._own]) for name in (_WEIGHTS, _GRADIENT))
        return Look(int(self._own[0][_STEP]), *rows)

    def note(self, look: Look) -> None:
        """Keep this one in the place of the last."""
        step = torch.tensor(look.step)
        rows = zip(look.weights, look.gradient, strict=True)
        self._own = [{_STEP: step, _WEIGHTS: w, _GRADIENT: g} for w, g in rows]

    def keep_if_of(self, measured: Collection[int]) -> None:
        """Forget it unless it is of one of these steps: another run of the same training left it.

        Args:
            measured: The steps that this run has measured.
        """
        self._own = [own if own and int(own[_STEP]) in measured else {} for own in self._own]

    def state(self, m: int) -> dict[str, Tensor]:
        """Return what a replica's state must hold of it; nothing before the first one."""
        return self._own[m]

    def load_state(self, m: int, state: dict[str, Tensor]) -> None:
        """Take over what `state` returned earlier."""
        self._own[m] = {n: state[n] for n in (_STEP, _WEIGHTS, _GRADIENT) if n in state}
