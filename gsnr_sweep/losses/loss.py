"""The loss of each sample, in float64 whatever the network computes in.

One gradient-descent step changes the loss by about λ‖g‖², down to 1e-7 of the loss, which is
float32's own resolution. Late in training softmax − onehot of a fitted sample loses all its digits
in float32. So outputs are converted first; autograd converts their gradients back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.losses.settings import (
    CrossEntropyConfig,
    CustomLossConfig,
    HingeConfig,
    LossConfig,
)
from gsnr_sweep.user_code import UserCodeError, call, load

Task = Literal["classification", "regression"]

_TOLERANCE = 1e-9
_NEEDED = (
    "A loss is a function of (outputs, targets) that returns one loss for each sample, [n]; of "
    "torch.nn's classes that is reduction=none and one output"
)


@dataclass(frozen=True)
class Loss:
    """The loss L(y_i, f(x_i)) of each sample.

    Attributes:
        task: What the targets are: class labels, or the targets of a regression.
        name: Of the loss, for messages.
        function: From outputs in float64 [N, outputs] and targets, [N] labels or [N, outputs], to
            [N].
    """

    task: Task
    name: str
    function: Callable[[Tensor, Tensor], Tensor]

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each sample.

        Args:
            outputs: [N, outputs] of the network.
            targets: [N] class labels, or [N, outputs] targets.

        Returns:
            [N] float64.
        """
        return self.function(outputs.double(), targets)

    @property
    def is_squared_error_of_targets(self) -> bool:
        """Whether it is the one that compiled kernels know."""
        return self.function is _squared_error

    @torch.no_grad()
    def count_correct(self, outputs: Tensor, targets: Tensor) -> int:
        """Count the samples whose largest output is the label's; 0 for a regression."""
        if self.task == "regression":
            return 0
        return int((outputs.argmax(1) == targets).sum())

    @torch.no_grad()
    def output_gradient(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Differentiate each sample's loss by its own outputs.

        As autograd through the loss has it, bit for bit: computed in float64, then rounded to the
        outputs' dtype. The usual losses are written out, because their graph costs more than a pass
        through a network of a few units.

        Args:
            outputs: [N, outputs] of the network.
            targets: [N] class labels, or [N, outputs] targets.

        Returns:
            [N, outputs] in the outputs' dtype.
        """
        if self.is_squared_error_of_targets:
            error = outputs.to(torch.float64, copy=True).sub_(targets.view_as(outputs)).mul_(2)
            return error.to(outputs.dtype)
        if self.function is _cross_entropy:
            log_p = torch.log_softmax(outputs.double(), 1)
            by_log_p = torch.zeros_like(log_p).scatter_(1, targets.unsqueeze(1), -1.0)
            pull_back = torch.ops.aten._log_softmax_backward_data
            gradient: Tensor = pull_back(by_log_p, log_p, 1, torch.float64)
            return gradient.to(outputs.dtype)
        leaf = outputs.detach().requires_grad_()
        with torch.enable_grad():
            loss = self(leaf, targets).sum()
        return torch.autograd.grad(loss, leaf)[0]


def _cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(outputs, targets, reduction="none")


def _squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets.double().view_as(outputs)).square().flatten(1).sum(1)


def _squared_error_of_labels(outputs: Tensor, targets: Tensor) -> Tensor:
    classes = torch.arange(outputs.shape[1], device=outputs.device)
    return (outputs - (targets.unsqueeze(1) == classes).double()).square().sum(1)


def _hinge(outputs: Tensor, labels: Tensor, margin: float, others: str) -> Tensor:
    """Return max_{c≠y} h_c or Σ_{c≠y} h_c with h_c = max(0, margin + f_c − f_y).

    A subgradient is taken where there are several: none at h_c = 0, equal parts of outputs that are
    the largest together.
    """
    own = labels.unsqueeze(1)
    violations = (margin + outputs - outputs.gather(1, own)).scatter(1, own, 0.0).relu()
    return violations.amax(1) if others == "max" else violations.sum(1)


CROSS_ENTROPY = Loss("classification", "cross_entropy", _cross_entropy)
"""−log softmax(f(x_i))[y_i]."""
SQUARED_ERROR = Loss("regression", "mse", _squared_error)
"""‖f(x_i) − y_i‖², summed over outputs."""
SQUARED_ERROR_OF_LABELS = Loss("classification", "mse", _squared_error_of_labels)
"""‖f(x_i) − e_{y_i}‖² to the one-hot row of the label."""


def loss_of_task(task: Task) -> Loss:
    """Return the usual loss: cross entropy of labels, the squared error of targets."""
    return CROSS_ENTROPY if task == "classification" else SQUARED_ERROR


def make_loss(cfg: LossConfig, task: Task, device: torch.device | None = None) -> Loss:
    """Make the loss that a config names.

    Args:
        cfg: Group ``loss``.
        task: What the data's targets are.
        device: Where it is computed; None for the CPU.

    Raises:
        GsnrError: It is not for such targets, or cannot be imported or made.
    """
    if isinstance(cfg, CustomLossConfig):
        return _custom(cfg, task, device)
    if isinstance(cfg, CrossEntropyConfig | HingeConfig) and task == "regression":
        raise GsnrError(
            f"loss={cfg.name}: these data have targets of a regression, not labels. Give loss=mse "
            "or loss=custom."
        )
    if isinstance(cfg, HingeConfig):
        return Loss(task, cfg.name, partial(_hinge, margin=cfg.margin, others=cfg.others))
    if isinstance(cfg, CrossEntropyConfig):
        if cfg.label_smoothing:
            smooth = partial(F.cross_entropy, reduction="none", label_smoothing=cfg.label_smoothing)
            return Loss(task, cfg.name, smooth)
        return CROSS_ENTROPY
    if cfg.name == "mse" and task == "classification":
        return SQUARED_ERROR_OF_LABELS
    return loss_of_task(task)


def _custom(cfg: CustomLossConfig, task: Task, device: torch.device | None) -> Loss:
    where = f"loss._target_={cfg._target_}"
    found: Any = load(where, cfg._target_, f"{_NEEDED}.")
    if not callable(found):
        raise GsnrError(f"{where}: this is a {type(found).__name__}. {_NEEDED}.")
    try:
        made = call(where, found, **cfg.args) if isinstance(found, type) else None
    except UserCodeError as error:
        given = ", ".join(f"{name}={value}" for name, value in cfg.args.items())
        raise GsnrError(
            f"{where}: it cannot be made ({error}). It was given {given or 'no arguments'}; give "
            "others in loss.args."
        ) from None
    function = made if made is not None else partial(found, **cfg.args)
    if not callable(function):
        raise GsnrError(f"{where}: what it makes is no function. {_NEEDED}.")
    if isinstance(function, nn.Module):  # its tensors go where the outputs are, and as exact
        function = function.to(device=device, dtype=torch.float64)
    return Loss(task, where, partial(_checked, where, cast(Any, function)))


def _checked(
    where: str, function: Callable[[Tensor, Tensor], Any], outputs: Tensor, targets: Tensor
) -> Tensor:
    """Return a user's losses of some samples.

    Raises:
        GsnrError: It fails, or returns something else.
    """
    try:
        losses = call(where, function, outputs, targets)
    except UserCodeError as error:
        raise GsnrError(
            f"{where}: it fails on outputs of shape {tuple(outputs.shape)} in float64 and on "
            f"targets of shape {tuple(targets.shape)} in "
            f"{str(targets.dtype).removeprefix('torch.')} ({error}). {_NEEDED}."
        ) from error.__cause__
    one_each = isinstance(losses, Tensor) and losses.shape in {(n := len(outputs),), (n, 1)}
    if not one_each:
        shape = f" of shape {tuple(losses.shape)}" if isinstance(losses, Tensor) else ""
        raise GsnrError(
            f"{where}: of {len(outputs)} samples it returns a {type(losses).__name__}{shape}. "
            f"{_NEEDED}."
        )
    return cast(Tensor, losses).reshape(len(outputs)).double()


def try_loss(loss: Loss, outputs: Tensor, targets: Tensor) -> None:
    """Try a user's loss on a few samples.

    Args:
        loss: Any; those of the package are not tried.
        outputs: [N, outputs] of the network, at least two.
        targets: Their targets.

    Raises:
        GsnrError: It fails, returns something else than one loss a sample, or a sample's loss is
            not finite or depends on the other samples.
    """
    if not isinstance(loss.function, partial) or loss.function.func is not _checked:
        return
    outputs = outputs.detach().double()
    with torch.enable_grad():
        losses = loss(outputs.clone().requires_grad_(), targets)
    if not losses.requires_grad:
        raise GsnrError(
            f"{loss.name}: it does not depend on the outputs, or not in a way that PyTorch can "
            f"differentiate. {_NEEDED}."
        )
    if not bool(losses.isfinite().all()):
        raise GsnrError(f"{loss.name}: of {len(outputs)} samples a loss is not finite.")
    if mixes_samples(loss, outputs, targets, _TOLERANCE):
        raise GsnrError(
            f"{loss.name}: a sample's loss depends on the samples beside it, so that per-sample "
            f"gradients do not exist. {_NEEDED}."
        )


def mixes_samples(
    losses: Callable[[Tensor, Tensor], Tensor], outputs: Tensor, targets: Tensor, tolerance: float
) -> bool:
    """Tell whether a sample's loss depends on the samples beside it, or fails alone.

    Args:
        losses: From outputs and targets to [N].
        outputs: [N, ...].
        targets: Theirs.
        tolerance: Of the largest loss.
    """
    together = losses(outputs, targets).detach()
    parts = zip(torch.split(outputs, 1), torch.split(targets, 1), strict=True)
    try:
        alone = torch.cat([losses(*part) for part in parts]).detach()
    except Exception:
        alone = torch.full_like(together, torch.nan)
    both = torch.stack([together, alone]).nan_to_num(nan=-1)
    return float((both[0] - both[1]).abs().max()) > tolerance * float(both.abs().max())
