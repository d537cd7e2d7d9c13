"""Which way to a network's per-sample gradients is right, found by trying on a few samples."""

from __future__ import annotations

import copy
from functools import partial

import torch
from torch import Tensor, nn

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.gradients.batchnorm import Mode, norms_in_order, norms_of, set_modes
from gsnr_sweep.gradients.loss import Task, sample_losses
from gsnr_sweep.gradients.moments import Method, gradient_moments
from gsnr_sweep.gradients.per_sample import SampleLosses

_TOLERANCE = 1e-8  # relative, in float64
_PERTURBATION = 0.1


def choose_method(model: nn.Module, x: Tensor, y: Tensor, sample_losses: SampleLosses) -> Method:
    """Choose the fastest way that gives the right per-sample gradients of this network.

    A float64 copy with perturbed weights (so that a head or a gain initialized to zero hides
    nothing) is tried on the given samples. Each sample's output must not depend on the others, and
    Σ g_i and Σ g_i² must be those of one ordinary backward pass a sample.

    Args:
        model: The network, in the state in which it is measured.
        x: [N, ...] a few inputs, at least two.
        y: Their targets.
        sample_losses: Losses [N] from outputs and targets.

    Raises:
        GsnrError: Per-sample gradients do not exist, or cannot be computed.
    """
    if not any(p.requires_grad for p in model.parameters()):
        raise GsnrError("This network has no trained parameters: there is nothing to measure.")
    trial = copy.deepcopy(model).double()
    x = x.double()
    try:
        _perturb(trial, x)
        _refuse_random_or_mixing(trial, x)
        expected = _sums(trial, x, y, sample_losses, Method.PER_SAMPLE)
    except GsnrError:
        raise
    except Exception as error:
        raise GsnrError(
            f"This network cannot be differentiated sample by sample ({type(error).__name__}: "
            f"{' '.join(str(error).split())[:300]})."
        ) from None
    if not any(bool(sums.any()) for sums in expected):
        raise GsnrError("This network's output does not depend on its parameters.")
    for method in (Method.LAYERWISE, Method.FUNCTORCH):
        try:
            found = _sums(trial, x, y, sample_losses, method)
        except Exception:  # whatever it is, this way is not for this network
            continue
        if all(_close(a, b) for a, b in zip(found, expected, strict=True)):
            return method
    return Method.PER_SAMPLE


def _sums(
    model: nn.Module, x: Tensor, y: Tensor, sample_losses: SampleLosses, method: Method
) -> list[Tensor]:
    """Return Σ g_i of each parameter, then Σ g_i²."""
    moments = gradient_moments(model, [(x, y)], sample_losses, method, signs=False)
    sizes = [p.numel() for p in model.parameters() if p.requires_grad]
    both = (moments.sum, moments.sum_of_squares)
    return [part for sums in both for part in sums.split_with_sizes(sizes)]


@torch.no_grad()
def _perturb(model: nn.Module, x: Tensor) -> None:
    """Move the trained weights off any special values, unless the network does not bear it."""
    generator = torch.Generator().manual_seed(0)
    before = [p.clone() for p in model.parameters()]
    for parameter in model.parameters():
        if parameter.requires_grad:
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(noise.to(parameter.device), alpha=_PERTURBATION)
    if not bool(torch.isfinite(model(x)).all()):
        for parameter, value in zip(model.parameters(), before, strict=True):
            parameter.copy_(value)


def _refuse_random_or_mixing(model: nn.Module, x: Tensor) -> None:
    with torch.no_grad():
        together, again = model(x), model(x)
        try:
            alone = torch.cat([model(x[i : i + 1]) for i in range(len(x))])
        except (RuntimeError, ValueError):  # a layer that wants a batch of several samples
            alone = torch.full_like(together, torch.nan)
    if not _close(together, again):
        raise GsnrError(
            "This network gives different outputs for the same input (dropout in training mode?). "
            "Eq. (19) is about deterministic gradient descent: remove the randomness."
        )
    if not _close(together, alone):
        raise GsnrError(
            "This network's output for one sample depends on the other samples of its batch, so "
            "that per-sample gradients do not exist. torch.nn.BatchNorm layers are understood "
            "(measured with the training set's statistics); other layers across samples are not."
        )


def _close(a: Tensor, b: Tensor) -> bool:
    """Compare up to rounding; False where there is NaN."""
    if not a.numel():
        return True
    scale = max(float(a.abs().max()), float(b.abs().max()), 1e-300)
    return float((a - b).abs().max()) <= _TOLERANCE * scale


def choose_moments_method(model: nn.Module, x: Tensor, y: Tensor, task: Task) -> Method:
    """Find the way to a prepared network's per-sample gradients by trying on a few samples.

    Batch normalization is tried with these samples' statistics, fixed.

    Raises:
        GsnrError: The network has no per-sample gradients.
    """
    _refuse_dropout(model)
    trial = copy.deepcopy(model)
    norms_in_order(trial, x)
    with torch.no_grad():
        trial(x)
    set_modes(norms_of(trial), Mode.FIXED)
    return choose_method(trial, x, y, partial(sample_losses, task=task))


def _refuse_dropout(model: nn.Module) -> None:
    """Refuse a network whose training would be random; in evaluation mode it would not show."""
    for name, module in model.named_modules():
        own = module.p if isinstance(module, nn.modules.dropout._DropoutNd) else 0
        inside = getattr(module, "dropout", 0)  # of attention and recurrent layers
        if own > 0 or (isinstance(inside, float) and inside > 0):
            raise GsnrError(
                f"This network drops activations at random ({name}: {module}). Eq. (19) is about "
                "deterministic gradient descent: set its p to 0 or take it out."
            )
