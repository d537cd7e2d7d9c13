"""Gradients of M networks with one hidden layer of ReLU units and one output.

f(x) = Σ_j v_j a_j (w_j·x + b_j) + c, where a_j is 1 if unit j is active and else 0. With
δ_i = ∂L_i/∂f and

    S_j = Σ_i a_ij δ_i (x_i, 1)

the derivatives of Σ_i L_i are v_j S_j by (w_j, b_j), and (w_j, b_j)·S_j by v_j. So one product with
the mask takes the place of four passes over all units and samples. It pays while x has fewer
components than there are units, as in the 2-N-1 networks of Liu et al. 2020, A.3.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gsnr_sweep.data.samples import Samples
from gsnr_sweep.engine.batched.inputs import StackedInputs, groups_of
from gsnr_sweep.engine.batched.layers import (
    Scratch,
    StackedLayer,
    StackedMatrix,
    linear_layers,
    of_rows,
    pass_sizes,
    stacked_layers,
    units_by_samples,
)
from gsnr_sweep.engine.batched.mlp import forward
from gsnr_sweep.engine.cpu.kernels import Kernels
from gsnr_sweep.gradients.loss import Task, output_gradient
from gsnr_sweep.gradients.parameters import Parameter

_KERNEL_INPUTS = 4  # MOST_INPUTS in two_layers.h
_KERNEL_GROUPS = 8


def has_one_hidden_layer(model: nn.Module) -> bool:
    """Say whether a network is of this kind, with fewer inputs than units."""
    layers = linear_layers(model)
    if layers is None or len(layers) != 2:
        return False
    (_, first, relu), (_, last, _) = layers
    return relu and last.out_features == 1 and first.in_features < first.out_features


class OneHiddenLayerGradient:
    """Summed-loss gradients from S.

    Attributes:
        groups: Replicas in a pass.
    """

    def __init__(
        self,
        model: nn.Module,
        train: Sequence[Samples],
        task: Task,
        working: Tensor,
        parameters: Sequence[Parameter],
        chunk: int,
        kernels: Kernels | None = None,
    ) -> None:
        """Stack the training sets.

        Args:
            model: A network that `has_one_hidden_layer` knows.
            train: M training sets of equal size.
            task: Decides the loss.
            working: [M, P] trained weights in the run's dtype; read at every call.
            parameters: Their places in a row.
            chunk: Samples of each training set in a pass, at most.
            kernels: Compiled ones, used where they fit.
        """
        self._task: Task = task
        layers = stacked_layers(model, working, parameters)
        _, units, inputs = layers[0].weight.values.shape
        fitting = working.dtype is torch.float32 and not working.is_cuda and task == "regression"
        self._kernels = kernels if fitting and inputs <= _KERNEL_INPUTS else None
        samples, together = pass_sizes(layers, len(train[0]), len(train), chunk)
        if self._kernels is not None:  # it needs no caches, so groups are there for threads only
            together = max(together, len(train) // _KERNEL_GROUPS)
        self.groups = groups_of(len(train), together)
        self._layers = [[of_rows(layer, rows) for layer in layers] for rows in self.groups]
        self._first, self._last = layers
        self._scratch = Scratch(working)
        self._inputs = StackedInputs(train, working.dtype, self.groups, samples, units_by_samples)
        self._shape = working.shape
        self._sums = working.new_zeros(len(train), inputs + 1, units, dtype=torch.float64)
        self._delta_sums = working.new_zeros(len(train), 1, dtype=torch.float64)

    @torch.no_grad()
    def work(self, group: int) -> None:
        """Go through the training sets of a group of replicas."""
        rows = self.groups[group]
        sums, delta_sums = self._sums[rows].zero_(), self._delta_sums[rows].zero_()
        add = self._add_by_torch if self._kernels is None else self._add_by_kernel
        for x, y in self._inputs.chunks(group):
            add(self._layers[group], x, y, sums, delta_sums)

    def _add_by_torch(
        self, layers: list[StackedLayer], x: Tensor, y: Tensor, sums: Tensor, delta_sums: Tensor
    ) -> None:
        """Add S [R, inputs + 1, units] and Σ_i δ_i [R, 1] of a chunk [R, inputs, samples]."""
        _, hidden, outputs = forward(layers, x, self._scratch)
        weighted = self._scratch.take("weighted", len(x), x.shape[1] + 1, x.shape[2])
        delta = weighted[:, -1:]  # the inputs' 1 for the bias, times δ
        flat = output_gradient(outputs.view(-1, 1), y.flatten(0, 1), self._task)
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
        weights = [None if m is None else m.values.contiguous() for m in matrices]
        replicas, inputs, samples = x.shape
        sizes = (replicas, samples, sums.shape[2], inputs)
        self._kernels.call("two_layers", x, y.double(), *weights, sums, delta_sums, *sizes)

    @torch.no_grad()
    def result(self) -> Tensor:
        """Return the gradients, [M, P] float64, after all groups have been worked on."""
        first, last = self._first, self._last
        total = self._sums.new_zeros(self._shape)
        sums = self._sums.transpose(1, 2)  # [M, units, inputs + 1]
        by_output = (sums[..., :-1] * first.weight.values).sum(2)
        if first.bias is not None:
            by_output += sums[..., -1] * first.bias.values[..., 0]
        by_unit = sums * last.weight.values.transpose(1, 2)
        _put(total, first.weight, by_unit[..., :-1])
        _put(total, first.bias, by_unit[..., -1])
        _put(total, last.weight, by_output)
        _put(total, last.bias, self._delta_sums)
        return total


def _put(total: Tensor, matrix: StackedMatrix | None, gradient: Tensor) -> None:
    """Write gradients [M, ...] to their place in the rows of `total`, if they have one."""
    if matrix and matrix.place:
        total[:, matrix.place] = gradient.flatten(1)
