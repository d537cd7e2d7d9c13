"""Passes by PyTorch's autograd: for any network, on any device, in any dtype."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.func import functional_call

from gsnr_sweep.data.samples import Samples
from gsnr_sweep.engine.chunking import ChunkSizes
from gsnr_sweep.gradients import Method, Moments, gradient_moments
from gsnr_sweep.gradients.batchnorm import (
    Mode,
    norms_in_order,
    norms_of,
    replace_batchnorm,
    set_modes,
)
from gsnr_sweep.gradients.full_batch import (
    Batches,
    Room,
    differentiate,
    full_batch_gradient,
    use_full_batch_statistics,
)
from gsnr_sweep.gradients.moments import OnChunk
from gsnr_sweep.gradients.parts import CutNetwork, Part
from gsnr_sweep.losses.loss import Loss


def image_format(model: nn.Module) -> torch.memory_format:
    """Return the order of axes in which a network's images and kernels are kept.

    Channels last is up to 1.6 times as fast for Table 2's network on a CPU. With batch
    normalization it gains nothing (Table 3's network: 2 %), and PyTorch's reductions over such
    tensors sum in plain float32: statistics were seen to be off by 4e-4 instead of 5e-7.
    """
    return torch.contiguous_format if norms_of(model) else torch.channels_last


@dataclass(eq=False)
class AutogradEngine:
    """Passes of one network over sets of samples, chunk by chunk, at its present weights.

    Attributes:
        model: With batch normalization already replaced, on its device.
        loss: Of each sample.
        chunks: Samples in a pass.
        method: Way to the per-sample gradients.
        example: [2, ...] two inputs, in the dtype of weights and activations.
        random: Whether the network computes something else in training mode: dropout, noise.
    """

    model: nn.Module
    loss: Loss
    chunks: ChunkSizes
    method: Method
    example: Tensor
    random: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        self._parameters = [p for p in self.model.parameters() if p.requires_grad]
        self._norms = norms_in_order(self.model, self.example)
        self._format = image_format(self.model)
        self._room = Room()
        self._cut: dict[tuple[int, bool], list[Part]] = {}

    def batches(self, samples: Samples, size: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Go through a set in chunks (x, y), of as many as fit a backward pass if not told."""
        for x, y in samples.chunks(size or self.chunks.moments, self.example.dtype):
            yield (x.contiguous(memory_format=self._format) if x.dim() == 4 else x), y

    def gradient(self, samples: Samples) -> list[Tensor]:
        """Return the gradient of the summed loss, float64, one tensor a trained parameter.

        With batch normalization it goes through the statistics of the whole set, or leaves the
        running ones alone where networks are measured with these.
        """
        if self._uses_running:
            self.fix_statistics(samples)
            return self._gradient(samples, Mode.FIXED)
        return self._gradient(samples, Mode.BATCH)

    @property
    def is_normalized(self) -> bool:
        """Whether the network has batch normalization."""
        return bool(self._norms)

    @property
    def _uses_running(self) -> bool:
        return any(norm.running_mean is not None for norm in self._norms)

    def _gradient(self, samples: Samples, mode: Mode) -> list[Tensor]:
        if self._norms and mode is Mode.BATCH and self._n_steps(samples) > 1:
            parts, batches = self._parts(len(samples)), self._normalized_batches(samples)
            return full_batch_gradient(parts, batches, self._loss_sum, self._parameters, self._room)
        batches = partial(self.batches, samples, self.chunks.step)
        set_modes(self._norms, mode)
        return differentiate(self.model, batches, self._loss_sum, self._parameters)

    def _normalized_batches(self, samples: Samples) -> Batches:
        return partial(self.batches, samples, self.chunks.normalized)

    @cached_property
    def _cut_network(self) -> CutNetwork:
        return CutNetwork(self.model, self._norms, self.example)

    def _parts(self, n: int, forward_only: bool = False) -> list[Part]:
        """Cut the network at its normalizations, as far as there is memory for n samples."""
        if (n, forward_only) not in self._cut:
            parts = self._cut_network.parts(n, self.chunks.kept_bytes, forward_only)
            self._cut[n, forward_only] = parts
        return self._cut[n, forward_only]

    def training_gradient(self, batch: Samples) -> list[Tensor]:
        """Return the gradient of a mini-batch's mean loss in training mode, in the run's dtype.

        Batch normalization takes the mini-batch's statistics, and moves the running ones.

        What is drawn at random is drawn for the whole mini-batch in one pass, so that the same is
        drawn whatever the size of chunks.
        """
        if self.random:
            self.model.train()
            try:
                found = self._mean_gradient(batch)
            finally:
                self.model.eval()
        elif len(batch) > self.chunks.step:
            found = self._mean(self._gradient(batch, Mode.BATCH), len(batch))
        else:
            found = self._mean_gradient(batch)
        for norm in self._norms:
            norm.update_running()
        return found

    def _mean(self, summed: list[Tensor], n: int) -> list[Tensor]:
        return [(s / n).to(p.dtype) for s, p in zip(summed, self._parameters, strict=True)]

    def _mean_gradient(self, batch: Samples) -> list[Tensor]:
        """Return the gradient of a set's mean loss by one pass."""
        set_modes(self._norms, Mode.BATCH)
        [(x, y)] = self.batches(batch, len(batch))
        with torch.enable_grad():
            mean = self.loss(self.model(x), y).mean()
        return list(torch.autograd.grad(mean, self._parameters, materialize_grads=True))

    def fix_statistics(self, samples: Samples) -> None:
        """Normalize from now on as networks are measured.

        That is by these samples' statistics at the present weights, or by the running statistics
        where they are kept up.
        """
        if self._uses_running:
            for norm in self._norms:
                norm.use_running()
        elif self._norms:
            self._fix_statistics_of(samples)

    def _fix_statistics_of(self, samples: Samples) -> None:
        batches: Batches = partial(self.batches, samples, self.chunks.step)
        parts = None
        if (steps := self._n_steps(samples)) > 1:
            batches = self._normalized_batches(samples)
            parts = self._parts(len(samples), forward_only=True)
        use_full_batch_statistics(
            self.model, self._norms, batches, steps, parts=parts, room=self._room
        )

    def moments(self, samples: Samples, on_chunk: OnChunk, signs: bool) -> Moments:
        """Return the moments of per-sample gradients, statistics fixed.

        Args:
            samples: The set.
            on_chunk: Called with outputs, targets and losses of each chunk.
            signs: Whether to count positive and negative gradients.
        """
        chunks = self.batches(samples)
        return gradient_moments(self.model, chunks, self.loss, self.method, on_chunk, signs)

    @torch.no_grad()
    def outputs(self, samples: Samples) -> Iterator[tuple[Tensor, Tensor]]:
        """Go through the set: outputs and targets of each chunk, statistics fixed."""
        for x, y in self.batches(samples, self.chunks.losses):
            yield self.model(x), y

    @torch.no_grad()
    def slopes(
        self, direction: Sequence[Tensor], sets: Iterable[Samples], moving: Samples | None = None
    ) -> Tensor:
        """Return the derivative of each sample's loss along a direction of the weights, [N].

        d/dε ℓ_i(θ + ε u) at ε = 0, by differentiation in forward mode.

        Args:
            direction: u, one tensor a trained parameter.
            sets: Their samples, one set after the other.
            moving: Set whose statistics batch normalization takes as functions of θ, as losses are
                evaluated; they are fixed at the present weights afterwards. None to leave the
                statistics what they are now. Running statistics do not move in either case.
        """
        found: list[Tensor] = []
        follows = moving is not None and bool(self._norms) and not self._uses_running
        with forward_ad.dual_level():
            named = ((n, p.detach()) for n, p in self.model.named_parameters() if p.requires_grad)
            weights = {
                name: forward_ad.make_dual(p, u.to(p))  # type: ignore[no-untyped-call]
                for (name, p), u in zip(named, direction, strict=True)
            }

            def network(x: Tensor) -> Tensor:
                outputs: Tensor = functional_call(self.model, weights, (x,))
                return outputs

            if moving is not None and follows:
                batches = partial(self.batches, moving, self.chunks.step)
                steps = self._n_steps(moving)
                use_full_batch_statistics(network, self._norms, batches, steps, follow=True)
            for samples in sets:
                for x, y in self.batches(samples, self.chunks.step):
                    losses = self.loss(network(x), y)
                    dual = forward_ad.unpack_dual(losses)  # type: ignore[no-untyped-call]
                    found.append(dual.tangent)
        if moving is not None and follows:
            for norm in self._norms:
                norm.stop_tracing()
            self.fix_statistics(moving)
        return torch.cat(found).cpu()

    def _n_steps(self, samples: Samples) -> int:
        return math.ceil(len(samples) / self.chunks.step)

    def _loss_sum(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self.loss(outputs, targets).sum()


def prepare_network(
    model: nn.Module, dtype: torch.dtype, device: torch.device, running: bool = False
) -> nn.Module:
    """Bring a network into the form that replicas use, in evaluation mode, weights unchanged.

    Args:
        model: Is changed.
        dtype: Of weights and activations.
        device: Where to compute.
        running: Whether batch normalization keeps up running statistics, to be measured with.
    """
    model = replace_batchnorm(model, running).to(device=device, dtype=dtype).eval()
    return model.to(memory_format=image_format(model))  # type: ignore[call-overload,no-any-return]
