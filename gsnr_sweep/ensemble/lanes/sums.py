"""Sums over samples of per-sample gradients, by parameter."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

import torch
from torch import Tensor, nn


class Kinds(IntEnum):
    """How many kinds of sums over samples are wanted (see lanes.h)."""

    GRADIENT = 1  # Σ g
    SQUARES = 2  # and Σ g²
    SIGNS = 4  # and how many are positive, and negative


class Sums:
    """Float64 sums for each trained parameter, to which passes add."""

    def __init__(self, parameters: Iterable[nn.Parameter], wanted: Kinds) -> None:
        """Start at zero.

        Args:
            parameters: Those that are trained.
            wanted: Which sums.
        """
        self.wanted = wanted
        self._of: dict[Tensor, Tensor] = {
            p: torch.zeros(wanted, *p.shape, dtype=torch.float64, requires_grad=False)
            for p in parameters
        }

    def of(self, parameter: Tensor | None) -> Tensor | None:
        """Return a parameter's sums [wanted, *shape], or None if it is not trained."""
        return None if parameter is None else self._of.get(parameter)

    def flat(self) -> list[Tensor]:
        """Return each sum over all parameters, [P] each."""
        return [torch.cat([s[k].flatten() for s in self._of.values()]) for k in range(self.wanted)]

    def gradients(self) -> list[Tensor]:
        """Return Σ g of each parameter."""
        return [sums[0] for sums in self._of.values()]
