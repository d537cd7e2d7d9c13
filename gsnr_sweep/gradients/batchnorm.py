"""Batch normalization with the exact statistics of the whole training set.

Full-batch gradient descent normalizes with mean and variance over all n samples. When n samples do
not fit into memory at once the statistics and, harder, the gradient through them must still be
those of the full batch. Both are exact here, whatever the chunk size.

Which gradient is stepped and which is measured (Liu et al. 2020, A.2):

- The *stepped* gradient is that of the training loss as a function of the weights alone, through
  the statistics, as ordinary batch normalization in training mode on one full batch has it.
- The *measured* per-sample gradients hold the statistics fixed at the training set's values at the
  current weights, since a statistic of the whole set has no per-sample gradient. Train and test
  losses are taken with these statistics too, before the step and, recomputed, after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.gradients.forward_hooks import listening


class Mode(Enum):
    """How a `FullBatchNorm` gets mean and variance."""

    BATCH = "from its input, which is the full batch; remembered when no gradient is asked for"
    FIXED = "as remembered"
    COLLECT = "adds its input to the sums and stops the forward pass"
    TRACED = "as remembered, but as variables of the gradient"
    FOLLOWED = "from its input, which is the full batch, as functions of the weights"


class ReachedError(Exception):
    """Ends a forward pass at the layer whose statistics are being collected."""


class FullBatchNorm(nn.Module):
    """Takes the place of a ``torch.nn.BatchNorm*d``; see the module's docstring."""

    mean: Tensor
    var: Tensor
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(self, source: nn.modules.batchnorm._BatchNorm, running: bool = False) -> None:
        """Take over affine parameters and eps of `source`.

        Args:
            source: The layer.
            running: Whether its running statistics are kept up in training.
        """
        super().__init__()
        self.weight = source.weight
        self.bias = source.bias
        self.eps = source.eps
        self.mode = Mode.BATCH
        size = source.num_features
        self.register_buffer("mean", torch.zeros(size), persistent=False)
        self.register_buffer("var", torch.ones(size), persistent=False)
        self._sums: list[Tensor] = []  # of values and of squares, [C] each
        self.count = 0  # values of a channel that mean and variance are of
        self.traced_input: Tensor | None = None
        self.momentum = source.momentum
        kinds = (nn.BatchNorm1d, nn.BatchNorm3d)
        self._kind = next((kind for kind in kinds if isinstance(source, kind)), nn.BatchNorm2d)
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            kept = getattr(source, name) if running else None
            self.register_buffer(name, None if kept is None else kept.clone(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize [N, C, ...] by channel according to the mode."""
        if self.mode is Mode.BATCH and torch.is_grad_enabled():
            return self._of_batch(x)
        if self.mode is Mode.BATCH:
            self.start_collecting()
            self.add(x)
            self.finish_collecting()
            self.mode = Mode.BATCH
        if self.mode in {Mode.BATCH, Mode.FIXED}:
            return F.batch_norm(
                x, self.mean, self.var, self.weight, self.bias, False, 0.0, self.eps
            )
        if self.mode is Mode.COLLECT:
            self.add(x)
            raise ReachedError
        if self.mode is Mode.FOLLOWED:
            self.start_collecting()
            self.add(x)
            self.finish_collecting(Mode.FOLLOWED)
        self.traced_input = x
        gain = torch.rsqrt(self.var + self.eps)
        if self.weight is not None:
            gain = gain * self.weight
        offset = -self.mean * gain
        if self.bias is not None:
            offset = offset + self.bias
        return x * as_channels(gain, x) + as_channels(offset, x)

    def _of_batch(self, x: Tensor) -> Tensor:
        if x.numel() == x.shape[1]:
            raise GsnrError(
                "Batch normalization of a mini-batch of one sample has no variance: give "
                "optim.batch_size so that the last mini-batch of an epoch, n modulo batch_size, "
                "has at least two."
            )
        affine = (self.weight, self.bias)
        if self.running_mean is None:
            return F.batch_norm(x, None, None, *affine, True, 0.0, self.eps)
        self.count = x.numel() // x.shape[1]
        mean, var = torch.zeros_like(self.mean), torch.zeros_like(self.var)
        outputs = F.batch_norm(x, mean, var, *affine, True, 1.0, self.eps)
        # They are the batch's now, the variance with 1/(N − 1).
        self.mean, self.var = mean, var * ((self.count - 1) / self.count)
        return outputs

    @torch.no_grad()
    def update_running(self) -> None:
        """Move the running statistics towards those of the last batch, as PyTorch does."""
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        factor = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        unbiased = self.var * (self.count / max(self.count - 1, 1))
        self.running_mean.lerp_(self.mean, factor)
        self.running_var.lerp_(unbiased, factor)

    def use_running(self) -> None:
        """Normalize with the running statistics as they are now from now on."""
        assert self.running_mean is not None
        assert self.running_var is not None
        self.mean, self.var = self.running_mean.clone(), self.running_var.clone()
        self.mode = Mode.FIXED

    def as_ordinary(self) -> nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d:
        """Return a layer of ``torch.nn`` that in evaluation mode computes what this one does."""
        layer = self._kind(len(self.mean), self.eps, affine=self.weight is not None)
        layer.to(device=self.mean.device, dtype=self.mean.dtype).eval()
        layer.weight, layer.bias = self.weight, self.bias
        layer.running_mean, layer.running_var = self.mean.clone(), self.var.clone()
        return layer

    def start_collecting(self) -> None:
        """Forget earlier sums and collect from now on."""
        self._sums, self.count = [], 0
        self.mode = Mode.COLLECT

    def add(self, x: Tensor) -> None:
        """Add a chunk of the layer's input to the sums."""
        axes, wide = _all_but_channels(x), x.double()
        sums = [wide.sum(axes), wide.square().sum(axes)]
        self._sums = [a + b for a, b in zip(self._sums, sums, strict=True)] if self._sums else sums
        self.count += x.numel() // x.shape[1]

    def finish_collecting(self, then: Mode = Mode.FIXED) -> None:
        """Turn the sums into mean and (biased) variance and normalize with them from now on."""
        mean, mean_square = (sums / self.count for sums in self._sums)
        var = (mean_square - mean.square()).clamp_min_(0)
        self.mean, self.var = mean.to(self.mean.dtype), var.to(self.var.dtype)
        self._sums = []
        self.mode = then

    def start_tracing(self) -> None:
        """Make mean and variance variables of the gradient."""
        self.mean.requires_grad_(True)
        self.var.requires_grad_(True)
        self.mode = Mode.TRACED

    def stop_tracing(self) -> None:
        """Make mean and variance constants again."""
        self.mean = self.mean.detach()
        self.var = self.var.detach()
        self.traced_input = None
        self.mode = Mode.FIXED

    def pull_back(self, x: Tensor, adjoint: Sequence[Tensor]) -> Tensor:
        """Return what the statistics add to the loss's gradient by some samples' inputs.

        Args:
            x: [N, C, ...] the inputs.
            adjoint: Two [C], the gradient by mean and variance.
        """
        of_mean, of_var = (as_channels(a.to(x.dtype) / self.count, x) for a in adjoint)
        return of_mean + of_var * 2 * (x - as_channels(self.mean.detach(), x))

    def traced_statistics(self) -> tuple[Tensor, Tensor]:
        """Return this chunk's share in mean and variance, as functions of the layer's input.

        Returns:
            Two [C] tensors that add up over chunks to the mean and the variance. The variance is
            taken around the known mean; its derivative by that mean is zero.
        """
        x = self.traced_input
        assert x is not None
        axes = _all_but_channels(x)
        centred = x - as_channels(self.mean.detach(), x)
        return x.sum(axes) / self.count, centred.square().sum(axes) / self.count


def replace_batchnorm(model: nn.Module, running: bool = False) -> nn.Module:
    """Replace every ``torch.nn.BatchNorm*d`` in `model` by a `FullBatchNorm`; return the model.

    Args:
        model: Is changed.
        running: Whether running statistics are kept up in training.

    Raises:
        GsnrError: One derives from them and computes something of its own, which would be lost, or
            has no running statistics where they are wanted.
    """
    for name, module in model.named_modules():
        is_norm = isinstance(module, nn.modules.batchnorm._BatchNorm)
        if running and is_norm and module.running_mean is None:
            raise GsnrError(
                f"measures.batch_norm=running: this network's layer {name or 'itself'} has "
                "track_running_stats=False. Leave that argument out, or give "
                "measures.batch_norm=training_set."
            )
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and _has_own_forward(module):
            raise GsnrError(
                f"This network normalizes batches in a way of its own ({name or 'the network'}: "
                f"{type(module).__name__} overrides what {_base_name(module)} computes). Only "
                "torch.nn.BatchNorm layers themselves can be replaced by full-batch ones: use them."
            )
    if isinstance(model, nn.modules.batchnorm._BatchNorm):
        return FullBatchNorm(model, running)
    replaced: dict[nn.Module, FullBatchNorm] = {}
    for module in list(model.modules()):
        for name, child in module._modules.items():
            if isinstance(child, nn.modules.batchnorm._BatchNorm):
                new = replaced.setdefault(child, FullBatchNorm(child, running))
                setattr(module, name, new)
    return model


def with_ordinary_batchnorm(model: nn.Module) -> nn.Module:
    """Undo `replace_batchnorm` for evaluation: the running statistics are those in use now.

    Args:
        model: Is changed.
    """
    if isinstance(model, FullBatchNorm):
        return model.as_ordinary()
    for module in list(model.modules()):
        for name, child in module._modules.items():
            if isinstance(child, FullBatchNorm):
                setattr(module, name, child.as_ordinary())
    return model


def _has_own_forward(module: nn.Module) -> bool:
    """Tell whether a layer computes something else than the class of torch.nn it derives from."""
    return not type(module).forward.__module__.startswith("torch.nn.")


def _base_name(module: nn.Module) -> str:
    """Name the class of torch.nn that a layer derives from."""
    mro = type(module).__mro__
    return next(cls.__name__ for cls in mro if cls.__module__.startswith("torch.nn."))


def norms_of(model: nn.Module) -> list[FullBatchNorm]:
    """List a network's normalization layers."""
    return [module for module in model.modules() if isinstance(module, FullBatchNorm)]


def norms_in_order(model: nn.Module, example: Tensor) -> list[FullBatchNorm]:
    """List the normalization layers in the order in which a forward pass meets them.

    Raises:
        GsnrError: One is met twice, so that it has no single set of statistics.
    """
    met: list[FullBatchNorm] = []
    norms = norms_of(model)
    if not norms:
        return []
    with torch.no_grad(), listening(norms, lambda norm, *_: met.append(cast(FullBatchNorm, norm))):
        model(example)
    if len(set(met)) < len(met):
        raise GsnrError(
            "This network uses a batch-normalization layer twice in one forward pass, so that the "
            "layer has no single set of statistics. Give each place a layer of its own."
        )
    return met


def set_modes(norms: Iterable[FullBatchNorm], mode: Mode) -> None:
    """Say of each layer where its statistics are from."""
    for norm in norms:
        norm.mode = mode


def _all_but_channels(x: Tensor) -> list[int]:
    return [0, *range(2, x.dim())]


def as_channels(values: Tensor, x: Tensor) -> Tensor:
    """Shape one value a channel [C] so that it broadcasts over `x`, [N, C, ...]."""
    return values.view(1, -1, *(1 for _ in x.shape[2:]))
