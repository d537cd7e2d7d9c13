"""Gradients of M networks with one hidden layer of ReLU units and one output.

f(x) = Σ_j v_j a_j (w_j·x + b_j) + c, where a_j is 1 if unit j is active and else 0. With
δ_i = ∂L_i/∂f and

    S_j = Σ_i a_ij δ_i (x_i, 1)

the derivatives of Σ_i L_i are v_j S_j by (w_j, b_j), and (w_j, b_j)·S_j by v_j. So one product with
the mask takes the place of four passes over all units and samples. It pays while x has fewer
components than there are units, as in the 2-N-1 networks of Liu et al. 2020, A.3.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from typing_extensions import override

from gsnr_sweep.engine.batched.layers import StackedLayer, linear_layers
from gsnr_sweep.engine.batched.mlp import MLPGradient, forward

_KERNEL_INPUTS = 4  # MOST_INPUTS in two_layers.h
_KERNEL_GROUPS = 8


def has_one_hidden_layer(model: nn.Module) -> bool:
    """Say whether a network is of this kind, with fewer inputs than units."""
    layers = linear_layers(model)
    if layers is None or len(layers) != 2:
        return False
    (_, first, relu), (_, last, _) = layers
    return relu and last.out_features == 1 and first.in_features < first.out_features


class OneHiddenLayerGradient(MLPGradient):
    """Summed-loss gradients from S, of networks that `has_one_hidden_layer` knows."""

    @override
    def _plan(self, model: nn.Module, chunk: int) -> tuple[int, list[slice]]:
        samples, groups = super()._plan(model, chunk)
        working, n_replicas = self._working, len(self._train)
        _, units, inputs = self._stack[0].weight.shape
        fitting = working.dtype is torch.float32 and not working.is_cuda
        known = self._loss.is_squared_error_of_targets
        if not (fitting and known) or inputs > _KERNEL_INPUTS:
            self._kernels = None
        if self._kernels is not None:  # it needs no caches, so groups are there for threads only
            groups = self._split(max(groups[0].stop, n_replicas // _KERNEL_GROUPS))
        shapes = ((n_replicas, inputs + 1, units), (n_replicas, 1))  # of S and of Σ_i δ_i
        self._totals = [working.new_zeros(shape, dtype=torch.float64) for shape in shapes]
        return samples, groups

    @override
    def _add(self, group: int, x: Tensor, y: Tensor, totals: list[Tensor]) -> None:
        add = self._add_by_torch if self._kernels is None else self._add_by_kernel
        add(self._layers[group], x, y, *totals)

    def _add_by_torch(
        self, layers: list[StackedLayer], x: Tensor, y: Tensor, sums: Tensor, delta_sums: Tensor
    ) -> None:
        """Add S [R, inputs + 1, units] and Σ_i δ_i [R, 1] of a chunk [R, inputs, samples]."""
        _, hidden, outputs = forward(layers, x, self._scratch)
        weighted = self._scratch.take("weighted", len(x), x.shape[1] + 1, x.shape[2])
        delta = weighted[:, -1:]  # the inputs' 1 for the bias, times δ
        flat = self._loss.output_gradient(outputs.view(-1, 1), y.flatten(0, 1))
        delta.copy_(flat.view_as(outputs))
        torch.mul(x, delta, out=weighted[:, :-1])
        active = torch.gt(hidden, 0, out=hidden)
        sums += torch.bmm(weighted, active.transpose(1, 2))
        delta_sums += delta.sum(2)

    def _add_by_kernel(
        self, layers: list[StackedLayer], x: Tensor, y: Tensor, sums: Tensor, delta_sums: Tensor
    ) -> None:
        """Do the same without storing anything of the size units × samples."""
        assert self._kernels is not None
        matrices = [m for layer in layers for m in (layer.weight, layer.bias)]
        weights = [None if m is None else m.contiguous() for m in matrices]
        replicas, inputs, samples = x.shape
        sizes = (replicas, samples, sums.shape[2], inputs)
        self._kernels.call("two_layers", x, y.double(), *weights, sums, delta_sums, *sizes)

    @override
    @torch.no_grad()
    def result(self) -> Tensor:
        first, last = self._stack
        total = torch.zeros_like(self._working, dtype=torch.float64)
        sums = self._totals[0].transpose(1, 2)  # [M, units, inputs + 1]
        by_output = (sums[..., :-1] * first.weight).sum(2)
        if first.bias is not None:
            by_output += sums[..., -1] * first.bias[..., 0]
        by_unit = sums * last.weight.transpose(1, 2)
        gradients = (by_unit[..., :-1], by_unit[..., -1], by_output, self._totals[1])
        for place, gradient in zip(first.places + last.places, gradients, strict=True):
            if place:
                total[:, place] = gradient.flatten(1)
        return total
