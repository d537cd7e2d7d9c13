"""A model tried before anything is launched: whether it fits the data, and what it costs.

The full trial computes gradients, which takes seconds for wide networks. A grid over many widths
needs it once: whether gradients exist is a matter of the architecture. The other widths are only
built and passed through, which still finds those that the model does not take.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from gsnr_sweep.engine.autograd import prepare_network
from gsnr_sweep.errors import GsnrError, describe_exception
from gsnr_sweep.gradients.method import choose_moments_method
from gsnr_sweep.gradients.parameters import Parameter, trained_parameters
from gsnr_sweep.models.build import build_model
from gsnr_sweep.models.settings import ModelConfig
from gsnr_sweep.preflight.flops import count_flops
from gsnr_sweep.preflight.size_check import check_weights

if TYPE_CHECKING:
    from gsnr_sweep.data.base import DataSpec

_OURS = "gsnr_sweep."
_N_SAMPLES = 3
_MOST_REMEMBERED = 4096  # a launcher checks the points of its sweep again
_FEW_WEIGHTS = 1_000_000
# What PyTorch says of sizes beyond 64 bits.
_BEYOND_ADDRESSES = ("Storage size calculation overflowed", "Overflow")


@dataclass(frozen=True)
class ModelCost:
    """What a model costs.

    Attributes:
        n_parameters: Trained parameters.
        forward_flops: Floating-point operations of one sample's forward pass.
        parameters: The trained parameter tensors.
    """

    n_parameters: int
    forward_flops: float
    parameters: tuple[Parameter, ...]


@dataclass(frozen=True)
class Fit:
    """A model, without its width, and what it must fit; may be a key.

    Attributes:
        model: The model's config as JSON.
        input_shape: Shape of one input.
        n_outputs: Classes or targets.
        task: Decides the loss.
    """

    model: str
    input_shape: tuple[int, ...]
    n_outputs: int
    task: Any

    @classmethod
    def of(cls, model: ModelConfig, spec: DataSpec) -> Fit:
        """Take from a data set's description what a model must fit."""
        as_json = json.dumps(asdict(model), sort_keys=True, default=str)
        return cls(as_json, spec.input_shape, spec.n_outputs, spec.task)

    @property
    def config(self) -> ModelConfig:
        """Return the model's config."""
        return ModelConfig(**json.loads(self.model))


@lru_cache(maxsize=_MOST_REMEMBERED)
def try_model(fit: Fit, ch: int) -> ModelCost:
    """Build a model, try it and its gradients on noise.

    Raises:
        GsnrError: It cannot be built, does not fit the data or the machine's memory, or has no
            per-sample gradients.
    """
    if _is_ours(fit):
        check_weights(ch, _count_weights(fit, ch))
    x = _noise(fit)
    network, cost = _pass_forward(fit, ch, x)
    regression = fit.task == "regression"
    classes = torch.arange(len(x)) % fit.n_outputs
    targets = torch.zeros(len(x), fit.n_outputs) if regression else classes
    choose_moments_method(network, x, targets, fit.task)
    return cost


@lru_cache(maxsize=_MOST_REMEMBERED)
def cost_of_width(fit: Fit, ch: int) -> ModelCost:
    """Return the cost of a model that was tried at another width.

    Our own large models are built without memory for their weights. The first pass through such
    empty tensors loads PyTorch's compiler, which takes longer than a small model's real weights. A
    user's code might keep empty tensors for later, so that it gets real ones.

    Raises:
        GsnrError: The model cannot be built with this width, or does not fit the data.
    """
    x = _noise(fit)
    if _is_ours(fit):
        n_weights = _count_weights(fit, ch)
        check_weights(ch, n_weights)
        if n_weights > _FEW_WEIGHTS:
            with torch.device("meta"):
                return _pass_forward(fit, ch, x.to("meta"))[1]
    return _pass_forward(fit, ch, x)[1]


def _is_ours(fit: Fit) -> bool:
    return fit.config._target_.startswith(_OURS)


def _count_weights(fit: Fit, ch: int) -> int:
    """Count the weights of a model of ours without making them.

    Raises:
        GsnrError: There are more than can be addressed, or the model cannot be built.
    """
    try:
        with torch.device("meta"):
            model = build_model(fit.config, ch, fit.input_shape, fit.n_outputs, seed=0)
    except GsnrError as error:
        if any(words in str(error) for words in _BEYOND_ADDRESSES):
            raise GsnrError(
                f"ch={ch}: a network this wide has more weights than any machine can address. Give "
                "a smaller ch."
            ) from None
        raise
    return sum(parameter.numel() for parameter in model.parameters())


def _noise(fit: Fit) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(_N_SAMPLES, *fit.input_shape, generator=generator)


def _pass_forward(fit: Fit, ch: int, x: Tensor) -> tuple[nn.Module, ModelCost]:
    """Build the network where `x` lies and pass `x` through it."""
    model = build_model(fit.config, ch, fit.input_shape, fit.n_outputs, seed=0)
    network = prepare_network(model, torch.float32, x.device)
    outputs, flops = _count_flops(lambda: network(x), fit)
    if not isinstance(outputs, Tensor) or outputs.shape != (len(x), fit.n_outputs):
        shape = tuple(getattr(outputs, "shape", ()))
        raise GsnrError(
            f"model={fit.config.name} returns {shape} for {len(x)} samples where "
            f"({len(x)}, {fit.n_outputs}) is needed: one output a class (or target)."
        )
    parameters = trained_parameters(network)
    n_parameters = parameters[-1].stop if parameters else 0
    return network, ModelCost(n_parameters, flops / len(x), parameters)


def _count_flops(forward: Callable[[], object], fit: Fit) -> tuple[object, int]:
    try:
        return count_flops(forward)
    except Exception as error:
        raise GsnrError(
            f"model={fit.config.name} does not take this data's inputs of shape "
            f"{fit.input_shape}: {describe_exception(error)}. Choose a model that fits the data."
        ) from None
