"""Gradients of M fully connected ReLU networks, each on a mini-batch of its own training set."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gsnr_sweep.data.samples import Samples
from gsnr_sweep.engine.batched.layers import CPU_BYTES, Scratch, StackedLayer, stacked_layers
from gsnr_sweep.engine.batched.mlp import forward, output_gradient, pull_back
from gsnr_sweep.engine.batched.summed_gradient import KEPT_BYTES, groups_of
from gsnr_sweep.gradients.parameters import Parameter, row_of, row_views
from gsnr_sweep.losses.loss import Loss


class StackedMiniBatches:
    """Weights of M replicas as one tensor, and their mini-batches in a few large operations.

    The numbers do not depend on the number of threads: replicas are always worked on in the same
    groups, and a group is worked on by one thread.

    Attributes:
        weights: [M, P] in the run's dtype; whoever moves them is seen by the next gradient.
        groups: Replicas in a pass.
    """

    def __init__(
        self,
        model: nn.Module,
        parameters: Sequence[Parameter],
        train: Sequence[Samples],
        loss: Loss,
        batch_size: int,
    ) -> None:
        """Start all replicas at the network's weights.

        Args:
            model: A prepared network that `linear_layers` knows, on its device.
            parameters: Places of its trained parameters in a row.
            train: M training sets of equal size, on the network's device.
            loss: Of each sample.
            batch_size: Samples in a mini-batch.
        """
        row = row_of(model, parameters)
        self.weights = row.repeat(len(train), 1)
        self._gradients = torch.zeros_like(self.weights)
        self._parts = [row_views(gradient, parameters) for gradient in self._gradients]
        self._train, self._loss = train, loss
        stack = stacked_layers(model, self.weights, parameters)
        self._lowest = [any(layer.places) for layer in stack].index(True)
        widths = stack[0].weight.shape[2] + 2 * sum(layer.weight.shape[1] for layer in stack)
        numbers = 2 * len(row) + batch_size * widths
        # Beyond, and weights count here, several replicas at once are no faster than one by one.
        together = max(1, CPU_BYTES // (numbers * row.itemsize))
        self.groups = groups_of(len(train), len(train) if row.is_cuda else together)
        self._layers = [[layer.of(rows) for layer in stack] for rows in self.groups]
        self._scratch = Scratch(self.weights)
        self._inputs: list[Tensor] | None = None

    @torch.no_grad()
    def gradients(self, group: int, places: Sequence[Tensor]) -> Sequence[Sequence[Tensor]]:
        """Return the gradients of the mean losses of mini-batches; valid until the next call.

        Args:
            group: Number of the replicas in `groups`; groups may be worked on at once.
            places: Of each of its replicas the [B] places of the samples in its training set.

        Returns:
            Of each of its replicas one tensor a trained parameter, in the dtype of the weights.
        """
        rows, layers = self.groups[group], self._layers[group]
        x, y = self._gathered(rows, places)
        inputs = forward(layers, x.transpose(1, 2), self._scratch)
        delta = output_gradient(self._loss, inputs.pop(), y).div_(len(places[0]))
        total = self._gradients[rows]

        def receive(layer: StackedLayer, delta: Tensor, entered: Tensor) -> None:
            of_weight, of_bias = layer.places
            if of_weight:
                out = total[:, of_weight].view(len(total), delta.shape[1], entered.shape[1])
                torch.bmm(delta, entered.transpose(1, 2), out=out)
            if of_bias:
                torch.sum(delta, 2, out=total[:, of_bias])

        pull_back(layers, inputs, delta, self._lowest, self._scratch, receive)
        return self._parts[rows]

    def _standardized(self, samples: Samples) -> Tensor:
        x, _ = samples.batch(0, len(samples), self.weights.dtype)
        return x.flatten(1)

    def keep_inputs(self) -> None:
        """Standardize the training sets once, if they fit into `KEPT_BYTES`."""
        size = sum(samples.x.numel() for samples in self._train) * self.weights.itemsize
        if self._inputs is None and size <= KEPT_BYTES:
            self._inputs = [self._standardized(samples) for samples in self._train]

    def _gathered(self, rows: slice, places: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return inputs [R, B, inputs], and targets [R, B] or [R, B, outputs]."""
        train = self._train[rows]
        y = torch.stack([samples.y[p] for samples, p in zip(train, places, strict=True)])
        if self._inputs is None:
            chosen = [
                self._standardized(Samples(s.x[p], s.y[p], s.standardization))
                for s, p in zip(train, places, strict=True)
            ]
            return torch.stack(chosen), y
        x = self._scratch.take("x", len(train), len(places[0]), self._inputs[0].shape[1])
        for inputs, p, out in zip(self._inputs[rows], places, x, strict=True):
            torch.index_select(inputs, 0, p, out=out)
        return x, y
