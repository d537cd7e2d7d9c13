"""A user's network, copied into the state in which it is measured."""

from __future__ import annotations

import copy
import logging
from typing import Literal

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from gsnr_sweep.engine.autograd import image_format
from gsnr_sweep.errors import GsnrError, describe_exception
from gsnr_sweep.gradients.batchnorm import FullBatchNorm, Mode, replace_batchnorm
from gsnr_sweep.models.problems import network_problems

log = logging.getLogger(__name__)

BatchNorm = Literal["running", "training_set"]
"""Whose statistics batch normalization has: the network's running ones, or the measured set's."""

_HALF = (torch.float16, torch.bfloat16)
_WHOLE = (torch.float32, torch.float64)


def device_of(model: nn.Module, device: torch.device | str | None) -> torch.device:
    """Return where a network is measured: where it lies, if nothing else is asked for.

    Raises:
        GsnrError: There is no such device, the network lies on several, or it has no float64.
    """
    places = {p.device for p in model.parameters()} | {b.device for b in model.buffers()}
    if device is None and len(places) > 1:
        raise GsnrError(
            f"model: its parameters lie on several devices ({', '.join(sorted(map(str, places)))}) "
            "and it can be measured on one only: name it, as in device='cuda:0' or device='cpu'."
        )
    try:
        found = torch.device(device) if device is not None else next(iter(places))
        torch.zeros(1, dtype=torch.float64, device=found)
    except Exception as error:
        named = device if device is not None else next(iter(places), "cpu")
        raise GsnrError(
            f"device={str(named)!r}: float64 numbers, in which gradients are added up, cannot be "
            f"kept there ({describe_exception(error)}). Give device='cpu', or a GPU that this "
            "installation of PyTorch can use."
        ) from None
    return found


def plain_network(model: object) -> nn.Module:
    """Return the network inside wrappers that compute the same.

    Raises:
        GsnrError: It is no network, or none that can be measured.
    """
    if not isinstance(model, nn.Module):
        raise GsnrError(
            f"model: this is of type {type(model).__name__}. A torch.nn.Module that is called as "
            "model(x) is needed."
        )
    wrappers = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    while isinstance(model, wrappers) or hasattr(model, "_orig_mod"):  # the latter: torch.compile
        model = model.module if isinstance(model, wrappers) else model._orig_mod
    assert isinstance(model, nn.Module)
    if problem := next(network_problems(model), ""):
        raise GsnrError(f"model: {problem}.")
    if not any(p.requires_grad for p in model.parameters()):
        raise GsnrError(
            "model: it has no trained parameters (requires_grad is False for all): there is "
            "nothing to measure."
        )
    return model


def measured_copy(
    model: nn.Module, device: torch.device, dtype: torch.dtype | None, batch_norm: BatchNorm
) -> nn.Module:
    """Copy a network in evaluation mode, its batch normalization with fixed statistics.

    Args:
        model: Stays as it is.
        device: Of the copy.
        dtype: Of the copy; None for the network's own, float32 for one in half precision.
        batch_norm: ``running`` fixes the running statistics; with ``training_set`` those of the
            set are to be put in.

    Raises:
        GsnrError: It cannot be copied, or has no such statistics.
    """
    own = {p.dtype for p in model.parameters() if p.is_floating_point()}
    if dtype is None and own & set(_HALF):
        log.info(
            "the network is in half precision (%s): gradients are computed in float32, since "
            "their squares leave its range",
            ", ".join(sorted(map(str, own & set(_HALF)))),
        )
    kind = dtype or (torch.float64 if own == {torch.float64} else torch.float32)
    if kind not in _WHOLE:
        raise GsnrError(
            f"dtype={kind}: per-sample gradients are computed in torch.float32 or torch.float64; "
            "squares of gradients leave the range of half precision."
        )
    try:
        network = copy.deepcopy(model)
    except Exception as error:
        raise GsnrError(
            f"model: it cannot be copied ({describe_exception(error)}), and only a copy is "
            "measured, so that the network stays as it is. Make copy.deepcopy(model) work: keep no "
            "tensors that are results of a computation, locks or open files in it."
        ) from error
    if any(isinstance(module, _BatchNorm) for module in network.modules()):
        network = _with_fixed_norms(network, batch_norm)
    network = network.to(device=device, dtype=kind).eval()
    return network.to(memory_format=image_format(network))  # type: ignore[call-overload,no-any-return]


def _with_fixed_norms(network: nn.Module, batch_norm: BatchNorm) -> nn.Module:
    """Put layers with fixed statistics in the place of batch normalization."""
    sources = {n: m for n, m in network.named_modules() if isinstance(m, _BatchNorm)}
    network = replace_batchnorm(network)
    if batch_norm == "training_set":
        return network
    for name, source in sources.items():
        if source.running_mean is None or source.running_var is None:
            raise GsnrError(
                f"model: {name or 'it'} ({type(source).__name__}) keeps no running statistics, so "
                "that a sample's output depends on its batch. Give batch_norm='training_set' to "
                "measure with the statistics of the whole set."
            )
        norm = network.get_submodule(name)
        assert isinstance(norm, FullBatchNorm)
        norm.mean, norm.var, norm.mode = source.running_mean, source.running_var, Mode.FIXED
    counts = [m.num_batches_tracked for m in sources.values()]
    if any(count is not None and int(count) == 0 for count in counts):
        log.warning(
            "batch normalization has seen no batch yet: its running statistics are 0 and 1. "
            "batch_norm='training_set' measures with the statistics of the set"
        )
    return network
