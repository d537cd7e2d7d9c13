"""A whole network with its forward and backward pass, without autograd."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gsnr_sweep.data.samples import Samples
from gsnr_sweep.engine.cpu.head import Head
from gsnr_sweep.engine.cpu.kernels import Kernels
from gsnr_sweep.engine.cpu.layout import Lanes, Sums, Workspace
from gsnr_sweep.engine.cpu.stage import PassContext, Stage
from gsnr_sweep.gradients.batchnorm import FullBatchNorm, Mode


@dataclass
class ForwardPass:
    """What a forward pass leaves for its backward pass.

    Attributes:
        outputs: [n, outputs] of the network.
        memory: Where it was made.
        run: What the stages kept.
        last: Output of the last stage; None if there are no stages.
        head: What the head kept.
    """

    outputs: Tensor
    memory: Workspace
    run: PassContext | None
    last: Lanes | None
    head: list[Tensor] = field(default_factory=list)


class ExplicitNetwork:
    """Convolutional stages in lanes, and fully connected layers after them.

    Either part may be missing: without stages no compiled kernels are needed.
    """

    def __init__(
        self, stages: Sequence[Stage], averages: bool, head: Head, kernels: Kernels | None
    ) -> None:
        """Put the parts together.

        Args:
            stages: One after the other.
            averages: Whether the head is given each channel's mean instead of every value.
            head: What follows.
            kernels: Needed if there are stages.
        """
        self._stages, self._averages, self._head = stages, averages, head
        self._kernels = kernels

    @property
    def in_lanes(self) -> bool:
        """Whether there are stages at all."""
        return bool(self._stages)

    @property
    def norms(self) -> list[FullBatchNorm]:
        """Normalization layers in order."""
        return [norm for stage in self._stages for norm in stage.norms]

    def workspace(self) -> Workspace:
        """Return memory for passes, of this or of networks of the same shapes; one a thread."""
        return Workspace(self._kernels.lanes if self._kernels else 1)

    @torch.no_grad()
    def forward(self, samples: Samples, mode: Mode, memory: Workspace) -> ForwardPass:
        """Compute the outputs of some samples.

        Args:
            samples: Inputs and their standardization.
            mode: Where batch normalization has its statistics from, `Mode.BATCH` (these samples,
                remembered) or `Mode.FIXED`.
            memory: Results live there until the next pass.
        """
        if self._kernels is None or not self._stages:
            kept: list[Tensor] = []
            features = self._standardized(samples)
            return ForwardPass(self._head.forward(features, kept), memory, None, None, kept)
        run = PassContext(self._kernels, memory, mode)
        return self.leave(self.enter(samples, run, len(self._stages)), run)

    @property
    def stages(self) -> Sequence[Stage]:
        """The convolutional stages."""
        return self._stages

    def context(self, memory: Workspace, mode: Mode) -> PassContext:
        """Return what stages need in a pass of their own."""
        assert self._kernels is not None
        return PassContext(self._kernels, memory, mode)

    def border_of(self, place: int) -> int:
        """Return the border that a stage wants around its input; the head wants none."""
        return self._stages[place].border if place < len(self._stages) else 0

    def enter(self, samples: Samples, run: PassContext, end: int) -> Lanes:
        """Bring samples into lanes and through the stages before one."""
        h = into_lanes(samples, run, "x", self.border_of(0))
        return self.go(h, run, 0, end)

    def go(self, h: Lanes, run: PassContext, start: int, end: int) -> Lanes:
        """Go through the stages from one to before another."""
        for place in range(start, end):
            h = self._stages[place].forward(h, run, self.border_of(place + 1))
        return h

    def leave(self, h: Lanes, run: PassContext) -> ForwardPass:
        """Compute the outputs from what the last stage gave."""
        kept: list[Tensor] = []
        outputs = self._head.forward(self._features(h), kept)
        return ForwardPass(outputs, run.workspace, run, h, kept)

    def _standardized(self, samples: Samples) -> Tensor:
        x = samples.x
        if self._kernels is None or x.dtype != torch.uint8 or x.dim() < 2:
            return samples.batch(0, len(samples), torch.float32)[0].flatten(1)
        n, channels = x.shape[:2]
        x = x.reshape(n, channels, -1)
        gain, offset = samples.standardization.by_channel(channels)
        features = torch.empty(n, channels * x.shape[2])
        shape = (n, channels, x.shape[2])
        self._kernels.call("standardize_bytes", x, *shape, gain, offset, features)
        return features

    def _features(self, h: Lanes) -> Tensor:
        features = h.inside.movedim(-1, 1).flatten(0, 1)[: h.n].flatten(1).contiguous()
        return features.view(h.n, h.channels, -1).mean(2) if self._averages else features

    @torch.no_grad()
    def backward(self, done: ForwardPass, g: Tensor, sums: Sums) -> None:
        """Add the gradients of the samples of a forward pass to the sums.

        Args:
            done: The pass; nothing else may have used its memory.
            g: [n, outputs] gradient by the outputs.
            sums: Of the network's trained parameters.
        """
        trained = self._first_trained(sums)
        inside = self.leave_backward(done, g, sums, trained < len(self._stages))
        for place in reversed(range(trained, len(self._stages))):
            if inside is None or done.run is None:
                return
            inside = self._stages[place].backward(inside, done.run, sums, place > trained)

    def leave_backward(
        self, done: ForwardPass, g: Tensor, sums: Sums, wants_input: bool
    ) -> Lanes | None:
        """Add to the sums of the head; return the gradient by the last stage's output if wanted."""
        pulled = self._head.backward(g, done.head, sums, wants_input, done.memory)
        if pulled is None or done.run is None or done.last is None:
            return None
        return self._gradient_into_lanes(pulled, done.last, done.run)

    def _first_trained(self, sums: Sums) -> int:
        places = range(len(self._stages))
        return next((p for p in places if self._stages[p].is_trained(sums)), len(self._stages))

    def _gradient_into_lanes(self, g: Tensor, last: Lanes, run: PassContext) -> Lanes:
        if self._averages:
            positions = last.height * last.width
            g = (g / positions).unsqueeze(2).expand(-1, -1, positions)
        images = g.reshape(last.n, last.channels, last.height, last.width)
        return into_lanes(Samples(images, g), run, "head.gx")


def into_lanes(samples: Samples, run: PassContext, name: str, border: int = 0) -> Lanes:
    """Standardize some samples, images [channels, height, width] each, into lanes."""
    kind = "bytes" if samples.x.dtype == torch.uint8 else "floats"
    x = (samples.x if kind == "bytes" else samples.x.float()).contiguous()
    n, channels, height, width = x.shape
    gain, offset = samples.standardization.by_channel(channels)
    lanes = run.workspace.images(name, n, channels, (height, width), border)
    shape = (n, channels, height, width)
    run.kernels.call(f"into_lanes_{kind}", x, *shape, gain, offset, lanes.view())
    return lanes
