"""Gradients of M fully connected ReLU networks at once, written out: no graph, few kernels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from typing_extensions import override

from gsnr_sweep.engine.batched.layers import (
    Scratch,
    StackedLayer,
    pass_sizes,
    stacked_layers,
)
from gsnr_sweep.engine.batched.summed_gradient import SummedGradient, groups_of


class MLPGradient(SummedGradient):
    """Summed-loss gradients of fully connected ReLU networks (`linear_layers`)."""

    @override
    def _plan(self, model: nn.Module, chunk: int) -> tuple[int, list[slice]]:
        self._stack = stacked_layers(model, self._working, self._parameters)
        self._lowest_trained = [any(layer.places) for layer in self._stack].index(True)
        self._scratch = Scratch(self._working)
        n, n_replicas = len(self._train[0]), len(self._train)
        samples, together = pass_sizes(self._stack, n, n_replicas, chunk)
        return samples, self._split(together)

    def _split(self, together: int) -> list[slice]:
        """Work on so many replicas in a pass."""
        groups = groups_of(len(self._train), together)
        self._layers = [[layer.of(rows) for layer in self._stack] for rows in groups]
        return groups

    @override
    def _arranged(self, x: Tensor) -> Tensor:
        """Bring them into the order [R, units, samples].

        Samples lie side by side, so that a layer of a few units still fills the vector registers.
        """
        return x.flatten(2).transpose(1, 2).contiguous()

    @override
    def _add(self, group: int, x: Tensor, y: Tensor, totals: list[Tensor]) -> None:
        layers = self._layers[group]
        inputs = forward(layers, x, self._scratch)
        self._backward(layers, inputs, self._output_gradient(inputs.pop(), y), totals[0])

    def _output_gradient(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the derivative of the summed loss by the outputs, [R, outputs, samples] both."""
        rows, width, samples = outputs.shape
        flat = outputs.transpose(1, 2).reshape(rows * samples, width)
        gradient = self._loss.output_gradient(flat, targets.flatten(0, 1))
        return gradient.view(rows, samples, width).transpose(1, 2)

    def _backward(
        self, layers: list[StackedLayer], inputs: list[Tensor], delta: Tensor, total: Tensor
    ) -> None:
        """Add every layer's share, from the last one down to the lowest that is trained."""
        for number in range(len(layers) - 1, self._lowest_trained - 1, -1):
            layer, entered = layers[number], inputs[number]
            of_weight, of_bias = layer.places
            if of_weight:
                total[:, of_weight] += torch.bmm(delta, entered.transpose(1, 2)).flatten(1)
            if of_bias:
                total[:, of_bias] += delta.sum(2)
            if number > self._lowest_trained:
                # Two memories in turn: one is read while the other is written.
                below = self._scratch.take(f"gradient {number % 2}", *entered.shape)
                torch.bmm(layer.weight.transpose(1, 2), delta, out=below)
                delta = through_relu(below, entered) if layers[number - 1].relu else below


def forward(layers: Sequence[StackedLayer], x: Tensor, scratch: Scratch) -> list[Tensor]:
    """Pass inputs [R, in, samples] through the layers.

    Returns:
        The inputs of all layers, and behind them the outputs, [R, width, samples] each. They stay
        valid until the next pass with this `scratch`.
    """
    found = [x]
    for number, layer in enumerate(layers):
        out = scratch.take(f"layer {number}", len(x), layer.weight.shape[1], x.shape[2])
        if layer.bias is None:
            torch.bmm(layer.weight, found[-1], out=out)
        else:
            torch.baddbmm(layer.bias, layer.weight, found[-1], out=out)
        found.append(out.relu_() if layer.relu else out)
    return found


def through_relu(gradient: Tensor, output: Tensor) -> Tensor:
    """Set the gradient to zero, in place, where ReLU's output is."""
    write = torch.ops.aten.threshold_backward.grad_input
    return write(gradient, output, 0, grad_input=gradient)  # type: ignore[no-any-return]
