"""From a model config to a network with its initial weights."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import nn

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.models.init import he_normal, small_normal
from gsnr_sweep.models.problems import network_problems
from gsnr_sweep.models.settings import ModelConfig
from gsnr_sweep.user_code import UserCodeError, call, is_ours, load

_INITS = {"he": he_normal, "small": small_normal}


def build_model(
    cfg: ModelConfig, ch: int, input_shape: tuple[int, ...], n_outputs: int, seed: int
) -> nn.Module:
    """Build the network that a config names, on the CPU, in float32.

    Of `ch`, `input_shape` and `n_outputs` the constructor is given those that it names.

    Args:
        cfg: Class, further arguments and initialization.
        ch: Width.
        input_shape: Shape of one input, without the sample axis.
        n_outputs: Classes or targets.
        seed: Decides the initial weights, whatever was drawn before.

    Raises:
        GsnrError: The class cannot be found, refuses its arguments, or is no `torch.nn.Module`; its
            parameters cannot be trained here; or a frozen layer does not exist.
    """
    constructor = _find(cfg._target_)
    offered = {"ch": ch, "input_shape": tuple(input_shape), "n_outputs": n_outputs}
    arguments = {**_accepted(constructor, offered), **cfg.args}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _construct(constructor, arguments, cfg)
        if not is_ours(cfg._target_):
            _refuse_parameters(model, cfg)
        if cfg.init in _INITS:
            _INITS[cfg.init](model)
    _freeze(model, cfg.frozen)
    return model


def _freeze(model: nn.Module, names: list[str]) -> None:
    """Take layers or single parameters out of training."""
    for name in names:
        own = [
            parameter
            for full, parameter in model.named_parameters()
            if full == name or full.startswith(f"{name}.")
        ]
        if not own:
            layers = dict.fromkeys(n.rpartition(".")[0] or n for n, _ in model.named_parameters())
            raise GsnrError(
                f"model.frozen: {name!r} is no layer or parameter of this network. Its layers: "
                f"{', '.join(layers)}."
            )
        for parameter in own:
            parameter.requires_grad_(False)


def _find(target: str) -> Any:
    where = f"model._target_={target}"
    found = load(
        where,
        target,
        "Give the dotted path of a torch.nn.Module, such as my_models.MyNetwork for a file "
        "my_models.py here.",
    )
    if not isinstance(found, type) or not issubclass(found, nn.Module):
        raise GsnrError(f"{where}: this is no torch.nn.Module.")
    return found


def _accepted(constructor: Any, offered: dict[str, Any]) -> dict[str, Any]:
    parameters = inspect.signature(constructor).parameters
    return {name: value for name, value in offered.items() if name in parameters}


def _construct(constructor: Any, arguments: dict[str, Any], cfg: ModelConfig) -> nn.Module:
    try:
        model = call(describe_model(cfg), constructor, **arguments)
    except UserCodeError as error:
        given = ", ".join(f"{name}={value}" for name, value in arguments.items())
        speaks = is_ours(cfg._target_) and isinstance(error.__cause__, ValueError)
        told = str(error.__cause__) if speaks else str(error)
        raise GsnrError(
            f"{describe_model(cfg)}: {told}; it was given {given or 'no arguments'}. Choose a "
            "model that fits the data (mlp and linear: anything; most others: images) or other "
            "model.args."
        ) from error.__cause__
    assert isinstance(model, nn.Module)
    return model


def describe_model(cfg: ModelConfig) -> str:
    """Return the key and value that name a model: a user's own is its class."""
    return f"model={cfg.name}" if is_ours(cfg._target_) else f"model._target_={cfg._target_}"


def _refuse_parameters(model: nn.Module, cfg: ModelConfig) -> None:
    """Refuse networks that cannot be copied to replicas or brought to a run's dtype.

    Raises:
        GsnrError: This is one; the text names the parameter or the module, and what to do.
    """
    sparse = (
        f"{name} is sparse, which no checkpoint holds. Make it dense"
        for name, buffer in model.named_buffers()
        if buffer.is_sparse
    )
    for problem in (*network_problems(model), *sparse):
        raise GsnrError(f"{describe_model(cfg)}: {problem}.")
