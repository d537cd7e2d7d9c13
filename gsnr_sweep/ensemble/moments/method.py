"""Which way to a network's per-sample gradients is right, found by trying on a few samples."""

from __future__ import annotations

import copy
from collections.abc import Callable
from enum import Enum

import torch
from torch import Tensor, nn

from gsnr_sweep.ensemble.moments.generic import network_gradients
from gsnr_sweep.ensemble.moments.gradients import PerSampleGradients
from gsnr_sweep.ensemble.moments.tap import LayerTap, NotTappableError
from gsnr_sweep.errors import GsnrError

SampleLosses = Callable[[Tensor, Tensor], Tensor]
_TOLERANCE = 1e-8  # relative, in float64


class Method(Enum):
    """How per-sample gradients are computed."""

    LAYERS = "closed forms layer by layer, from one backward pass"
    NETWORK = "torch.func through the whole network"


def choose_method(model: nn.Module, x: Tensor, y: Tensor, sample_losses: SampleLosses) -> Method:
    """Choose the fastest way that gives the right per-sample gradients of this network.

    A float64 copy is tried on the given samples: each sample's output must not depend on the
    others, and the gradients found must add up to the ordinary gradient.

    Args:
        model: The network, in the state in which it is measured.
        x: [N, ...] a few inputs, at least two.
        y: Their targets.
        sample_losses: Losses [N] from outputs and targets.

    Raises:
        GsnrError: Per-sample gradients do not exist, or neither way finds them.
    """
    trial = copy.deepcopy(model).double()
    x = x.double()
    _refuse_random_or_mixing(trial, x)
    expected = _ordinary_gradient(trial, x, y, sample_losses)
    reasons = []
    for method, compute in ((Method.LAYERS, _by_layers), (Method.NETWORK, network_gradients)):
        try:
            _, _, found = compute(trial, x, y, sample_losses)
        except (NotTappableError, RuntimeError, ValueError) as error:
            reasons.append(f"{method.value}: {' '.join(str(error).split())[:200]}")
            continue
        if _adds_up(found, expected):
            return method
        reasons.append(f"{method.value}: the gradients do not add up to the ordinary one")
    raise GsnrError(
        "This network's per-sample gradients cannot be computed, so eq. (19)'s right side cannot "
        f"be measured. Tried: {'; '.join(reasons)}."
    )


def _by_layers(
    model: nn.Module, x: Tensor, y: Tensor, sample_losses: SampleLosses
) -> tuple[Tensor, Tensor, dict[str, PerSampleGradients]]:
    with LayerTap(model) as tap:
        return tap.gradients(x, y, sample_losses)


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


def _ordinary_gradient(
    model: nn.Module, x: Tensor, y: Tensor, sample_losses: SampleLosses
) -> dict[str, Tensor]:
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not trained:
        raise GsnrError("This network has no trained parameters: there is nothing to measure.")
    with torch.enable_grad():
        loss = sample_losses(model(x), y).sum()
    if not loss.requires_grad:
        raise GsnrError("This network's output does not depend on its parameters.")
    values = torch.autograd.grad(loss, list(trained.values()), allow_unused=True)
    return {
        name: torch.zeros_like(trained[name]) if value is None else value
        for name, value in zip(trained, values, strict=True)
    }


def _adds_up(found: dict[str, PerSampleGradients], expected: dict[str, Tensor]) -> bool:
    for name, value in expected.items():
        total = found[name].sum().view_as(value) if name in found else torch.zeros_like(value)
        if not _close(total, value):
            return False
    return True


def _close(a: Tensor, b: Tensor) -> bool:
    scale = max(float(a.abs().max()), float(b.abs().max()), 1e-300)
    return float((a - b).abs().max()) <= _TOLERANCE * scale  # False for NaN
