"""Fully connected layers: matrix products over all samples of a chunk."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gsnr_sweep.engine.cpu.kernels import Kernels
from gsnr_sweep.engine.cpu.layout import MomentOrder, Sums, Workspace
from gsnr_sweep.gradients.moments import add_moments
from gsnr_sweep.gradients.per_sample import DenseGradients, OuterProductGradients


class Head:
    """Linear and ReLU layers in a row, with their backward pass, without autograd."""

    def __init__(self, layers: Sequence[nn.Linear | nn.ReLU], kernels: Kernels | None) -> None:
        """Take over the layers, in order.

        Args:
            layers: One after the other.
            kernels: Make use of the zeros that ReLU leaves; None to do without.
        """
        self._layers, self._kernels = layers, kernels

    def forward(self, features: Tensor, keep: list[Tensor]) -> Tensor:
        """Compute the outputs [n, outputs] of features [n, inputs].

        Args:
            features: [n, inputs].
            keep: Gets what `backward` needs.
        """
        h = features
        for layer in self._layers:
            keep.append(h)
            if isinstance(layer, nn.ReLU):
                h = h.clamp_min_(0) if h is not features else h.clamp_min(0)
                keep[-1] = h
            else:
                bias = None if layer.bias is None else layer.bias.detach()
                h = torch.nn.functional.linear(h, layer.weight.detach(), bias)
        return h

    def backward(
        self, g: Tensor, kept: list[Tensor], sums: Sums, wants_input: bool, memory: Workspace
    ) -> Tensor | None:
        """Add to the parameters' sums; return the gradient by the features if wanted.

        Args:
            g: [n, outputs] gradient by the outputs.
            kept: As `forward` left it.
            sums: Of the network's trained parameters.
            wants_input: Whether stages before the head are trained.
            memory: To be used in passing.
        """
        first = self._first_trained(sums)
        pulled: Tensor | None = g
        for place in reversed(range(len(self._layers))):
            layer, x = self._layers[place], kept[place]
            if pulled is None:
                break
            if isinstance(layer, nn.ReLU):
                pulled = pulled * (x > 0)
                continue
            self._sum_weights(place, pulled, x, sums, memory)
            total = sums.of(layer.bias)
            if total is not None:
                add_moments(total, DenseGradients(pulled))
            deeper = wants_input or place > first
            pulled = pulled @ layer.weight.detach() if deeper else None
        return pulled

    def _sum_weights(self, place: int, b: Tensor, a: Tensor, sums: Sums, memory: Workspace) -> None:
        """Add the sums of g_i = b_i ⊗ a_i, float32 within a chunk, float64 over chunks.

        Each sum over samples is one matrix product, as in `OuterProductGradients`.
        """
        weight = self._layers[place].weight
        total = sums.of(weight if isinstance(weight, Tensor) else None)
        if total is None:
            return
        if self._kernels is not None and self._is_relu(place + 1):
            size = self._kernels.scratch("outer", *b.shape)
            scratch = memory.take("outer", (size,), torch.float32)
            shape = (len(b), b.shape[1], a.shape[1], int(sums.wanted))
            self._kernels.call("outer_products", b, a, total, scratch, *shape)
            return
        total[0] += b.T @ a
        if sums.wanted >= MomentOrder.SQUARES:
            total[1] += b.square().T @ a.square()
        if sums.wanted >= MomentOrder.SIGNS:
            total[2:] += torch.stack(OuterProductGradients(b, a).sign_counts())

    def _is_relu(self, place: int) -> bool:
        return 0 <= place < len(self._layers) and isinstance(self._layers[place], nn.ReLU)

    def _first_trained(self, sums: Sums) -> int:
        trained = [
            place
            for place, layer in enumerate(self._layers)
            if any(sums.of(p) is not None for p in layer.parameters())
        ]
        return min(trained, default=len(self._layers))
