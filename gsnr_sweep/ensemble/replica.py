"""One replica: a network, its training set, and one gradient-descent step after another."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gsnr_sweep.data.samples import Samples
from gsnr_sweep.ensemble.batchnorm import (
    FullBatchNorm,
    Mode,
    full_batch_gradient,
    norms_in_order,
    use_full_batch_statistics,
)
from gsnr_sweep.ensemble.chunks import ChunkSizes
from gsnr_sweep.ensemble.loss import Task, count_correct, sample_losses
from gsnr_sweep.ensemble.moments import Method, Moments, gradient_moments


@dataclass(frozen=True)
class Losses:
    """Losses of a set of samples.

    Attributes:
        per_sample: [N] float64.
        accuracy: Share of correctly classified samples; NaN for a regression.
    """

    per_sample: Tensor
    accuracy: float

    @property
    def mean(self) -> float:
        """Return the set's loss L, eq. (3)."""
        return float(self.per_sample.mean())


def image_format(model: nn.Module) -> torch.memory_format:
    """Return the order of axes in which a network's images and kernels are kept.

    Channels last is up to 1.6 times as fast for Table 2's network on a CPU. With batch
    normalization it gains nothing (Table 3's network: 2 %), and PyTorch's reductions over such
    tensors sum in plain float32: statistics were seen to be off by 4e-4 instead of 5e-7.
    """
    normalizes = any(isinstance(module, FullBatchNorm) for module in model.modules())
    return torch.contiguous_format if normalizes else torch.channels_last


class Replica:
    """A network trained on one training set by full-batch gradient descent.

    Weights are kept in float64 beside the network's own: updates of λg far below float32's
    resolution of a weight then add up instead of getting lost.
    """

    def __init__(
        self,
        model: nn.Module,
        train: Samples,
        task: Task,
        chunks: ChunkSizes,
        dtype: torch.dtype,
        method: Method,
    ) -> None:
        """Take over a network, which nobody else may use.

        Args:
            model: With batch normalization already replaced, on its device, in `dtype`.
            train: The training set D, on the same device.
            task: Decides the loss.
            chunks: Samples in a pass.
            dtype: Of weights and activations.
            method: Way to the per-sample gradients.
        """
        self.model = model
        self.train = train
        self._task: Task = task
        self._chunks = chunks
        self._dtype = dtype
        self._method = method
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        self._weights = [p.detach().double() for p in self._parameters]
        example, _ = train.batch(0, 2, dtype)
        self._norms = norms_in_order(model, example)
        self._format = image_format(model)

    def gradient(self) -> list[Tensor]:
        """Return the gradient of the training loss L[D], float64, one tensor a parameter.

        With batch normalization this is the gradient through the statistics of the whole set.
        """
        if self._norms and self._n_batches(self._chunks.step) > 1:
            total = full_batch_gradient(
                self.model, self._norms, self._batches, self._loss_sum, self._parameters
            )
        else:
            for norm in self._norms:
                norm.mode = Mode.BATCH
            total = self._summed_gradient()
        return [part / len(self.train) for part in total]

    def _summed_gradient(self) -> list[Tensor]:
        total = [torch.zeros_like(w) for w in self._weights]
        for x, y in self._batches():
            with torch.enable_grad():
                loss = self._loss_sum(self.model(x), y)
            parts = torch.autograd.grad(loss, self._parameters, allow_unused=True)
            for accumulated, part in zip(total, parts, strict=True):
                if part is not None:
                    accumulated += part
        return total

    @torch.no_grad()
    def descend(self, gradient: list[Tensor], lr: float) -> None:
        """Take one step θ ← θ − λ g."""
        for weight, parameter, g in zip(self._weights, self._parameters, gradient, strict=True):
            weight.sub_(g, alpha=lr)
            parameter.copy_(weight)

    @property
    def weights(self) -> list[Tensor]:
        """The float64 weights, one tensor a trained parameter."""
        return self._weights

    def state(self) -> dict[str, Tensor]:
        """Return what training has changed: the float64 weights, and buffers if there are any."""
        names = [name for name, p in self.model.named_parameters() if p.requires_grad]
        weights = dict(zip(names, self._weights, strict=True))
        buffers = {f"buffer.{name}": b for name, b in self.model.named_buffers()}
        return weights | buffers

    @torch.no_grad()
    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take over what `state` returned earlier."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])
        for weight, parameter in zip(self._weights, self._parameters, strict=True):
            parameter.copy_(weight)

    def fix_statistics(self) -> None:
        """Normalize with the training set's statistics at the current weights from now on."""
        if self._norms:
            use_full_batch_statistics(
                self.model, self._norms, self._batches, self._n_batches(self._chunks.step)
            )

    def moments(self) -> tuple[Moments, Losses]:
        """Return the per-sample gradients' moments over D, and D's losses on the way."""
        losses: list[Tensor] = []
        correct = 0

        def keep(outputs: Tensor, targets: Tensor, chunk_losses: Tensor) -> None:
            nonlocal correct
            losses.append(chunk_losses)
            correct += count_correct(outputs, targets, self._task)

        moments = gradient_moments(
            self.model,
            self._passes(self.train, self._chunks.moments),
            self.sample_losses,
            self._method,
            keep,
        )
        return moments, self._as_losses(losses, correct)

    @torch.no_grad()
    def losses(self, samples: Samples) -> Losses:
        """Return the losses of a set of samples at the current weights."""
        losses, correct = [], 0
        for x, y in self._passes(samples, self._chunks.losses):
            outputs = self.model(x)
            losses.append(self.sample_losses(outputs, y))
            correct += count_correct(outputs, y, self._task)
        return self._as_losses(losses, correct)

    def _as_losses(self, parts: list[Tensor], correct: int) -> Losses:
        per_sample = torch.cat(parts)
        accuracy = correct / len(per_sample) if self._task == "classification" else math.nan
        return Losses(per_sample, accuracy)

    def passes(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Go through the training set in chunks (x, y) that fit a backward pass."""
        return self._passes(self.train, self._chunks.moments)

    def sample_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return each sample's loss [N], float64."""
        return sample_losses(outputs, targets, self._task)

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self._passes(self.train, self._chunks.step)

    def _passes(self, samples: Samples, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        for x, y in samples.chunks(size, self._dtype):
            yield (x.contiguous(memory_format=self._format) if x.dim() == 4 else x), y

    def _n_batches(self, size: int) -> int:
        return math.ceil(len(self.train) / size)

    def _loss_sum(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self.sample_losses(outputs, targets).sum()
