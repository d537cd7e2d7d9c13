"""A user's loss, taken apart into the losses of single samples."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.losses.loss import mixes_samples
from gsnr_sweep.user_code import UserCodeError, call, told

LossFunction = Callable[[Tensor, Tensor], Tensor]
"""A loss of (outputs, targets): ``torch.nn.CrossEntropyLoss()``, or a function."""

_TOLERANCE, _COARSE_TOLERANCE = 1e-8, 1e-4
_REDUCTIONS = {"mean", "sum", "none", "batchmean"}


class SampleLoss:
    """Numerators a_i and denominators b_i of a loss L = Σ_i a_i / Σ_i b_i over any set.

    Sample i has the loss ℓ_i = n a_i / Σ_k b_k, so that L is the mean of ℓ_i over the set, and L's
    gradient the mean of their gradients. For the usual mean b_i is the number of a sample's values,
    the same for all; a mean weighted by classes, or one that leaves targets out
    (``ignore_index``), has the weights that PyTorch divides by. A sum is measured as the mean of
    its terms: b_i = 1.

    A loss of ``torch.nn`` is taken apart by its own ``reduction="none"``. Another one is either a
    loss of each sample [N], or a scalar, which is then evaluated sample by sample and must be the
    mean or the sum of that.
    """

    def __init__(self, loss: LossFunction, outputs: Tensor, y: Tensor) -> None:
        """Find out what the loss is, on a few samples.

        Args:
            loss: The user's.
            outputs: [N, ...] of the network, at least two.
            y: [N, ...] their targets.

        Raises:
            GsnrError: It is no loss of (outputs, targets), or no sum over samples.
        """
        _refuse_what_is_none(loss)
        self._said = f"loss={_name(loss)}"
        self._loss, self._each = loss, None
        self.reduction = getattr(loss, "reduction", None)
        self.double, self._dtype, self._maps = True, outputs.dtype, False
        if isinstance(loss, nn.Module) and self.reduction in _REDUCTIONS and _is_torchs(loss):
            self._loss = copy.deepcopy(loss).double().to(outputs.device)
            self._each = copy.deepcopy(self._loss)
            self._each.reduction = "none"  # type: ignore[assignment]
        outputs = outputs.detach()
        value = self._try(outputs, y)
        if self._each is None:
            self.reduction = self._reduction_of(value, outputs, y)
        self._refuse_values_without_reduction(outputs, y)
        self._refuse_mixing(outputs, y)
        self.check(outputs, y, self.numerators(outputs, y))

    def numerators(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return a_i, [N]."""
        outputs, y = self._as_computed(outputs, y)
        if self._each is not None:
            values: Tensor = self._each(outputs, y)
            return values.reshape(len(values), -1).sum(1)
        if self.reduction == "none":
            return self._loss(outputs, y)
        if self._maps:
            return torch.func.vmap(self._single)(outputs, y)
        return torch.stack([self._single(o, t) for o, t in zip(outputs, y, strict=True)])

    def _single(self, output: Tensor, target: Tensor) -> Tensor:
        return self._loss(output.unsqueeze(0), target.unsqueeze(0)).sum()

    @torch.no_grad()
    def denominators(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return b_i, [N] float64; zero for samples that do not count."""
        loss = self._each
        if loss is None or self.reduction != "mean":
            return torch.ones(len(outputs), dtype=torch.float64, device=outputs.device)
        if isinstance(loss, nn.CrossEntropyLoss | nn.NLLLoss) and not y.is_floating_point():
            counted = y != loss.ignore_index
            if loss.weight is None:
                weights = counted.double()
            else:
                weights = loss.weight[y.where(counted, 0)].double() * counted
            return weights.reshape(len(y), -1).sum(1)
        values = loss(*self._as_computed(outputs[:1], y[:1]))
        return torch.full((len(outputs),), float(values.numel()), device=outputs.device).double()

    @torch.no_grad()
    def check(self, outputs: Tensor, y: Tensor, numerators: Tensor) -> None:
        """Hold the samples' losses against the user's loss of all of them.

        Raises:
            GsnrError: They do not add up to it.
        """
        total = float(self.denominators(outputs, y).sum())
        if self.reduction == "none" or not total or not bool(numerators.isfinite().all()):
            return
        own = float(self._loss(*self._as_computed(outputs, y)))
        expected = float(numerators.sum()) / (1 if self.reduction == "sum" else total)
        scale = max(abs(own), float(numerators.abs().sum()) / total, 1e-300)
        if abs(own - expected) > self._tolerance * scale:
            raise self._no_sum(f"of {len(y)} samples it is {own:.6g}, their own {expected:.6g}")

    def whole(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return Σ a_i / Σ b_i as the user's own loss has it, to be differentiated."""
        value = self._loss(*self._as_computed(outputs, y))
        return value / len(outputs) if self.reduction == "sum" else value.mean()

    @property
    def _tolerance(self) -> float:
        return _TOLERANCE if self.double else _COARSE_TOLERANCE

    def _as_computed(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        if not self.double:
            return outputs.to(self._dtype), y
        return outputs.double(), y.double() if y.is_floating_point() else y

    def _try(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Evaluate it in float64, else as it is."""
        failed: UserCodeError | None = None
        for self.double in (True, False):
            try:
                value = call(self._said, self._loss, *self._as_computed(outputs, y))
            except UserCodeError as error:
                failed = failed or error
                continue
            if isinstance(value, Tensor) and (value.dim() == 0 or value.shape == (len(outputs),)):
                return value
            if isinstance(value, Tensor) and self._each is not None:
                return value
            what = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else None
            raise GsnrError(
                f"{self._said}: of {len(y)} samples it returns {what or type(value).__name__}. A "
                "loss is one number, or one for each sample [N]."
            )
        assert failed is not None
        raise GsnrError(
            f"{self._said}: it fails on outputs of shape {tuple(outputs.shape)} and targets of "
            f"shape {tuple(y.shape)} and type {y.dtype} ({told(failed)}). It is called as "
            "loss(outputs, targets)."
        ) from failed.__cause__

    def _reduction_of(self, value: Tensor, outputs: Tensor, y: Tensor) -> str:
        """Tell what a function does with its samples."""
        if value.dim():
            return "none"
        self.reduction = "mean"
        alone = self.numerators(outputs, y)
        self._maps = True
        try:
            mapped = self.numerators(outputs, y)
            self._maps = torch.allclose(mapped, alone, rtol=self._tolerance, atol=0)
        except Exception:  # not for torch.func
            self._maps = False
        refuse_not_finite(self._said, alone)
        near = self._tolerance * max(float(alone.abs().sum()), 1e-300)
        mean, total = float(alone.mean()), float(alone.sum())
        if abs(float(value) - mean) <= near:
            return "mean"
        if abs(float(value) - total) <= near:
            return "sum"
        raise self._no_sum(
            f"of {len(y)} samples it is {float(value):.6g}, the mean of their own {mean:.6g}, "
            f"the sum {total:.6g}"
        )

    def _refuse_values_without_reduction(self, outputs: Tensor, y: Tensor) -> None:
        if self._each is None or self.reduction != "none":
            return
        values = self._each(*self._as_computed(outputs, y))
        if values.dim() > 1:
            raise GsnrError(
                f"{self._said} with reduction='none' returns {tuple(values.shape)} values of "
                f"{len(y)} samples, and says not whether a sample's loss is their sum or their "
                "mean: give reduction='mean' or 'sum', or a function that returns one loss for "
                "each sample."
            )

    def _refuse_mixing(self, outputs: Tensor, y: Tensor) -> None:
        """Refuse a loss whose value for one sample depends on others."""
        if mixes_samples(self.numerators, outputs, y, self._tolerance):
            raise self._no_sum(
                "a sample's loss depends on the samples beside it, for outputs of shape "
                f"{tuple(outputs.shape)} and targets of shape {tuple(y.shape)}"
            )

    def _no_sum(self, how: str) -> GsnrError:
        return GsnrError(
            f"{self._said}: it is no mean or sum over samples ({how}), so that per-sample "
            "gradients, and with them the GSNR, do not exist. Give a loss that is: for weights of "
            "classes or targets to leave out torch.nn.CrossEntropyLoss(weight=…, ignore_index=…) "
            "itself, else a function that returns one loss for each sample [N]."
        )


def refuse_not_finite(where: str, losses: Tensor) -> None:
    """Refuse losses that are no numbers.

    Args:
        where: Whose they are, for the message.
        losses: [N].

    Raises:
        GsnrError: One of them is infinite or NaN.
    """
    wrong = int((~losses.isfinite()).sum())
    if wrong:
        raise GsnrError(
            f"{where}: the loss of {wrong} of {len(losses)} samples is not finite, so that there "
            "is no mean and no variance. Look at inputs and weights; targets that do not count "
            "are left out by torch.nn.CrossEntropyLoss(ignore_index=…)."
        )


def _refuse_what_is_none(loss: object) -> None:
    if isinstance(loss, type) or not callable(loss):
        what = f"the class {loss.__name__}" if isinstance(loss, type) else repr(loss)
        raise GsnrError(
            f"loss: this is {what}. A loss of (outputs, targets) is needed, such as "
            "torch.nn.CrossEntropyLoss()."
        )


def _is_torchs(loss: nn.Module) -> bool:
    """Tell whether what it computes is PyTorch's own."""
    return type(loss).forward.__module__.startswith("torch.nn.")


def _name(loss: object) -> str:
    if isinstance(loss, nn.Module):
        return " ".join(repr(loss).split())
    return str(getattr(loss, "__qualname__", type(loss).__name__))
