"""What the stages of a network in lanes have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from gsnr_sweep.engine.cpu.kernels import Kernels
from gsnr_sweep.engine.cpu.layout import Lanes, Sums, Workspace
from gsnr_sweep.gradients.batchnorm import FullBatchNorm, Mode


@dataclass
class PassContext:
    """One pass through the network.

    Attributes:
        kernels: What computes.
        workspace: Where.
        mode: Whether batch normalization takes its statistics from this pass (and the gradient
            goes through them) or from earlier on (and they are constants).
        saved: What stages keep for their backward pass, by stage.
        totals: Sums over the whole set through which its statistics add to the gradient, by layer
            (`ConvBlock.normalization_sums`).
    """

    kernels: Kernels
    workspace: Workspace
    mode: Mode
    saved: dict[object, Any] = field(default_factory=dict)
    totals: dict[FullBatchNorm, Tensor] = field(default_factory=dict)


class Stage(ABC):
    """A part of a network with its forward and its backward pass, without autograd.

    Attributes:
        border: Rows and columns of zeros that it wants around its input.
        norms: Its normalization layers, in order.
        parameters: All that it has.
    """

    border: int
    norms: list[FullBatchNorm]
    parameters: list[Tensor | None]

    def is_trained(self, sums: Sums) -> bool:
        """Tell whether any of its parameters is."""
        return any(sums.of(parameter) is not None for parameter in self.parameters)

    @abstractmethod
    def forward(self, x: Lanes, run: PassContext, border: int) -> Lanes:
        """Return the output with a border for the next stage; keep what `backward` needs."""

    @abstractmethod
    def backward(self, g: Lanes, run: PassContext, sums: Sums, wants_input: bool) -> Lanes | None:
        """Add to the parameters' sums; return the gradient by the input if wanted.

        Args:
            g: Gradient by the output, of the same pass.
            run: As it was given to `forward`.
            sums: Of the network's trained parameters.
            wants_input: Whether stages before this one are trained.
        """
