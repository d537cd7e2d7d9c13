"""A residual block: a few stages, a shortcut around them, and ReLU after their sum."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from typing_extensions import override

from gsnr_sweep.engine.cpu.layout import Lanes, Sums
from gsnr_sweep.engine.cpu.stage import PassContext, Stage


class Residual(Stage):
    """torchvision's ``BasicBlock``."""

    def __init__(self, name: str, stages: Sequence[Stage], shortcut: Stage | None) -> None:
        """Take over the parts.

        Args:
            name: Unique in the network.
            stages: One after the other.
            shortcut: What stands beside them; None for nothing.
        """
        self._name, self._stages, self._shortcut = name, stages, shortcut
        aside = [shortcut] if shortcut else []
        self.border = max(stage.border for stage in (stages[0], *aside))
        self.norms = [norm for stage in (*stages, *aside) for norm in stage.norms]
        self.parameters = [p for stage in (*stages, *aside) for p in stage.parameters]

    @override
    def forward(self, x: Lanes, run: PassContext, border: int) -> Lanes:
        h = x
        for stage, after in zip(self._stages, [*self._stages[1:], None], strict=True):
            h = stage.forward(h, run, after.border if after else 0)
        aside = self._shortcut.forward(x, run, 0) if self._shortcut else x
        size = (h.height, h.width)
        y = run.workspace.images(f"{self._name}.y", h.n, h.channels, size, border)
        torch.add(h.inside, aside.inside, out=y.inside)
        y.inside.clamp_min_(0)
        run.saved[self] = y
        return y

    @override
    def backward(self, g: Lanes, run: PassContext, sums: Sums, wants_input: bool) -> Lanes | None:
        y: Lanes = run.saved[self]
        size = (y.height, y.width)
        pulled = run.workspace.images(f"{self._name}.g", y.n, y.channels, size)
        torch.mul(g.inside, y.inside > 0, out=pulled.inside)
        inner: Lanes | None = pulled
        for stage in reversed(self._stages):
            first = stage is self._stages[0]
            assert inner is not None
            inner = stage.backward(inner, run, sums, wants_input or not first)
        aside: Lanes | None = pulled
        if self._shortcut is not None:
            aside = self._shortcut.backward(pulled, run, sums, wants_input)
        if inner is not None and aside is not None:
            inner.inside.add_(aside.inside)
        return inner
