"""Gradients of M fully connected ReLU networks at once, written out: no graph, few kernels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gsnr_sweep.data.samples import Samples
from gsnr_sweep.engine.batched.inputs import StackedInputs, groups_of
from gsnr_sweep.engine.batched.layers import (
    Scratch,
    StackedLayer,
    of_rows,
    pass_sizes,
    stacked_layers,
    units_by_samples,
)
from gsnr_sweep.gradients.loss import Task, output_gradient
from gsnr_sweep.gradients.parameters import Parameter


class MLPGradient:
    """Summed-loss gradients of fully connected ReLU networks.

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
    ) -> None:
        """Stack the training sets.

        Args:
            model: A network that `linear_layers` knows.
            train: M training sets of equal size.
            task: Decides the loss.
            working: [M, P] trained weights in the run's dtype; read at every call.
            parameters: Their places in a row.
            chunk: Samples of each training set in a pass, at most.
        """
        self._task: Task = task
        layers = stacked_layers(model, working, parameters)
        samples, together = pass_sizes(layers, len(train[0]), len(train), chunk)
        self.groups = groups_of(len(train), together)
        self._layers = [[of_rows(layer, rows) for layer in layers] for rows in self.groups]
        self._lowest_trained = [layer.is_trained for layer in layers].index(True)
        self._scratch = Scratch(working)
        self._inputs = StackedInputs(train, working.dtype, self.groups, samples, units_by_samples)
        self._total = torch.zeros_like(working, dtype=torch.float64)

    @torch.no_grad()
    def work(self, group: int) -> None:
        """Go through the training sets of a group of replicas."""
        total, layers = self._total[self.groups[group]].zero_(), self._layers[group]
        for x, y in self._inputs.chunks(group):
            inputs = forward(layers, x, self._scratch)
            self._backward(layers, inputs, self._output_gradient(inputs.pop(), y), total)

    def result(self) -> Tensor:
        """Return the gradients, [M, P] float64, after all groups have been worked on."""
        return self._total.clone()

    def _output_gradient(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the derivative of the summed loss by the outputs, [R, outputs, samples] both."""
        rows, width, samples = outputs.shape
        flat = outputs.transpose(1, 2).reshape(rows * samples, width)
        gradient = output_gradient(flat, targets.flatten(0, 1), self._task)
        return gradient.view(rows, samples, width).transpose(1, 2)

    def _backward(
        self, layers: list[StackedLayer], inputs: list[Tensor], delta: Tensor, total: Tensor
    ) -> None:
        """Add every layer's share, from the last one down to the lowest that is trained."""
        for number in range(len(layers) - 1, self._lowest_trained - 1, -1):
            layer, entered = layers[number], inputs[number]
            if layer.weight.place:
                gradient = torch.bmm(delta, entered.transpose(1, 2))
                total[:, layer.weight.place] += gradient.flatten(1)
            if layer.bias and layer.bias.place:
                total[:, layer.bias.place] += delta.sum(2)
            if number > self._lowest_trained:
                # Two memories in turn: one is read while the other is written.
                below = self._scratch.take(f"gradient {number % 2}", *entered.shape)
                torch.bmm(layer.weight.values.transpose(1, 2), delta, out=below)
                delta = through_relu(below, entered) if layers[number - 1].relu else below


def forward(layers: Sequence[StackedLayer], x: Tensor, scratch: Scratch) -> list[Tensor]:
    """Pass inputs [R, in, samples] through the layers.

    Returns:
        The inputs of all layers, and behind them the outputs, [R, width, samples] each. They stay
        valid until the next pass with this `scratch`.
    """
    found = [x]
    for number, layer in enumerate(layers):
        weight = layer.weight.values
        out = scratch.take(f"layer {number}", len(x), weight.shape[1], x.shape[2])
        if layer.bias is None:
            torch.bmm(weight, found[-1], out=out)
        else:
            torch.baddbmm(layer.bias.values, weight, found[-1], out=out)
        found.append(out.relu_() if layer.relu else out)
    return found


def through_relu(gradient: Tensor, output: Tensor) -> Tensor:
    """Set the gradient to zero, in place, where ReLU's output is."""
    write = torch.ops.aten.threshold_backward.grad_input
    return write(gradient, output, 0, grad_input=gradient)  # type: ignore[no-any-return]
