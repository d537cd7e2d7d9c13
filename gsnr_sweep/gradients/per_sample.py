"""Per-sample gradients of one parameter over one chunk, and the sums asked of them.

Indices in the docstrings: i samples, o outputs of a layer, k its inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

SampleLosses = Callable[[Tensor, Tensor], Tensor]
"""Losses [N] from outputs and targets."""


class PerSampleGradients(Protocol):
    """Gradients g_i of one parameter for the samples i of a chunk. Sums are float64."""

    def sum(self) -> Tensor:
        """Return Σ_i g_i."""
        ...

    def sum_of_squares(self) -> Tensor:
        """Return Σ_i g_i², elementwise."""
        ...

    def sign_counts(self) -> tuple[Tensor, Tensor]:
        """Return how many g_i are positive and how many negative, elementwise."""
        ...


_TOGETHER = 16

Receiver = Callable[[str, PerSampleGradients], None]
"""Takes the gradients of one parameter by name, one layer at a time, so that none need be kept."""


@dataclass(frozen=True)
class DenseGradients:
    """The gradients themselves.

    Attributes:
        values: [N, *parameter shape].
    """

    values: Tensor

    def sum(self) -> Tensor:
        """Return Σ_i g_i."""
        return _sum(self.values)

    def sum_of_squares(self) -> Tensor:
        """Return Σ_i g_i²."""
        return _sum(self.values.square())

    def sign_counts(self) -> tuple[Tensor, Tensor]:
        """Return the numbers of positive and negative g_i."""
        return (self.values > 0).sum(0), (self.values < 0).sum(0)


def _sum(values: Tensor) -> Tensor:
    """Sum over samples in float64, a few at a time in float32: that costs an eighth on a CPU.

    Sixteen terms in float32 leave 1e-7 of the sum of their absolute values, as each term has.
    """
    if values.dtype == torch.float64:
        return values.sum(0)
    whole = len(values) - len(values) % _TOGETHER
    few = values[:whole].view(whole // _TOGETHER, _TOGETHER, *values.shape[1:])
    return few.sum(1).sum(0, dtype=torch.float64) + values[whole:].sum(0)


@dataclass(frozen=True)
class OuterProductGradients:
    """g_i = b_i ⊗ a_i, as of a linear layer's weight, never multiplied out.

    Each sum over samples is one matrix product: Σ_i b_io a_ik, Σ_i b_io² a_ik², and for the signs
    Σ_i sgn(b_io) sgn(a_ik) = positive − negative, Σ_i |sgn(b_io)| |sgn(a_ik)| = both.

    Attributes:
        output_gradients: b, [N, O].
        inputs: a, [N, K].
    """

    output_gradients: Tensor
    inputs: Tensor

    def sum(self) -> Tensor:
        """Return Σ_i g_i, [O, K]."""
        return self.output_gradients.double().T @ self.inputs.double()

    def sum_of_squares(self) -> Tensor:
        """Return Σ_i g_i², [O, K]."""
        return self.output_gradients.double().square().T @ self.inputs.double().square()

    def sign_counts(self) -> tuple[Tensor, Tensor]:
        """Return the numbers of positive and negative g_i, [O, K] each."""
        b, a = torch.sign(self.output_gradients), torch.sign(self.inputs)
        difference, both = b.T @ a, b.abs().T @ a.abs()
        return (both + difference) / 2, (both - difference) / 2
