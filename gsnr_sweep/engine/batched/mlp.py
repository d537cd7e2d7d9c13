"""Gradients of M fully connected ReLU networks at once, written out: no graph, few kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
from gsnr_sweep.losses.loss import Loss

Receiver = Callable[[StackedLayer, Tensor, Tensor], None]
"""Takes a layer, the derivative by its outputs [R, out, samples], and its inputs."""


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
        inputs, total = forward(layers, x, self._scratch), totals[0]
        delta = output_gradient(self._loss, inputs.pop(), y)

        def receive(layer: StackedLayer, delta: Tensor, entered: Tensor) -> None:
            of_weight, of_bias = layer.places
            if of_weight:
                total[:, of_weight] += torch.bmm(delta, entered.transpose(1, 2)).flatten(1)
            if of_bias:
                total[:, of_bias] += delta.sum(2)

        pull_back(layers, inputs, delta, self._lowest_trained, self._scratch, receive)


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


def output_gradient(loss: Loss, outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the derivative of the summed loss by the outputs, [R, outputs, samples] both."""
    rows, width, samples = outputs.shape
    flat = outputs.transpose(1, 2).reshape(rows * samples, width)
    gradient = loss.output_gradient(flat, targets.flatten(0, 1))
    return gradient.view(rows, samples, width).transpose(1, 2)


def pull_back(
    layers: Sequence[StackedLayer],
    inputs: Sequence[Tensor],
    delta: Tensor,
    lowest: int,
    scratch: Scratch,
    receive: Receiver,
) -> None:
    """Pull the derivative by the outputs back through the layers.

    Args:
        layers: In order.
        inputs: Of all layers, as `forward` gives them.
        delta: [R, outputs, samples] derivative by the outputs.
        lowest: Number of the lowest layer that is trained; none below is gone through.
        scratch: Not the memory of `delta`.
        receive: Takes each layer with the derivative by its outputs and its inputs.
    """
    for number in range(len(layers) - 1, lowest - 1, -1):
        layer, entered = layers[number], inputs[number]
        receive(layer, delta, entered)
        if number > lowest:
            # Two memories in turn: one is read while the other is written.
            below = scratch.take(f"gradient {number % 2}", *entered.shape)
            torch.bmm(layer.weight.transpose(1, 2), delta, out=below)
            delta = through_relu(below, entered) if layers[number - 1].relu else below


def through_relu(gradient: Tensor, output: Tensor) -> Tensor:
    """Set the gradient to zero, in place, where ReLU's output is."""
    write = torch.ops.aten.threshold_backward.grad_input
    return write(gradient, output, 0, grad_input=gradient)  # type: ignore[no-any-return]
