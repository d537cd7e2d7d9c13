"""A model tried before anything is launched: whether it fits the data, and what it costs.

The full trial computes gradients, which takes seconds for wide networks. A grid over many widths
needs it once: whether gradients exist is a matter of the architecture. The other widths are only
built and passed through, which still finds those that the model does not take.

A user's own model is given a few of the run's samples in the run's dtype. Ours take noise.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from gsnr_sweep.data.own_distribution import kind
from gsnr_sweep.engine.autograd import prepare_network
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.gradients.batchnorm import Mode, norms_of, set_modes
from gsnr_sweep.gradients.method import choose_moments_method, differs_in_training
from gsnr_sweep.gradients.parameters import Parameter, trained_parameters
from gsnr_sweep.losses.loss import make_loss
from gsnr_sweep.losses.settings import LossConfig
from gsnr_sweep.models.build import build_model, describe_model
from gsnr_sweep.models.settings import ModelConfig
from gsnr_sweep.preflight.examples import examples
from gsnr_sweep.preflight.flops import count_flops
from gsnr_sweep.preflight.global_state import unchanged_global_state
from gsnr_sweep.preflight.size_check import check_weights
from gsnr_sweep.user_code import UserCodeError, call, is_ours

if TYPE_CHECKING:
    from gsnr_sweep.config.schema import Config
    from gsnr_sweep.data.base import DataSpec

_N_SAMPLES = 3
_MOST_REMEMBERED = 4096  # a launcher checks the points of its sweep again
_FEW_WEIGHTS = 1_000_000
_MOST_TRIED = 16_000_000
_OF_TOKENS = "; one that looks tokens up needs data.layout=tokens"
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
        task: What the targets are.
        loss: The loss's config, written out.
        run: The data that a user's own model is tried with. Empty for ours.
        samples: Draws a few of them; None for ours.
        of_loss: The loss's config.
        dtype: Of weights and activations.
        stochastic: Whether it may be random in training mode.
        running: Whether batch normalization is measured by running statistics.
        lone: Whether a mini-batch has one sample.
    """

    model: str
    input_shape: tuple[int, ...]
    n_outputs: int
    task: Any
    loss: str
    run: str = ""
    samples: Callable[[], tuple[Tensor, Tensor]] | None = field(default=None, compare=False)
    of_loss: LossConfig = field(default_factory=LossConfig, compare=False)
    dtype: str = "float32"
    stochastic: bool = False
    running: bool = False
    lone: bool = False

    @classmethod
    def of(cls, cfg: Config, spec: DataSpec) -> Fit:
        """Take from a run and its data's description what a model must fit."""
        as_json = json.dumps(asdict(cfg.model), sort_keys=True, default=str)
        about = (as_json, spec.input_shape, spec.n_outputs, spec.task, repr(cfg.loss))
        if is_ours(cfg.model._target_):
            if spec.inputs == "tokens":
                raise GsnrError(
                    f"model={cfg.model.name}: these data are tokens, which a network looks up in "
                    "an embedding; this one takes numbers. Give a network of your own: "
                    "model=custom model._target_=my_models.Net."
                )
            fit = cls(*about, of_loss=cfg.loss)
        else:
            drawn = partial(examples, cfg, spec, _N_SAMPLES)
            fit = cls(*about, repr(cfg.data), drawn, cfg.loss, cfg.dtype)
        training, rule = cfg.training, cfg.rule
        return replace(
            fit,
            stochastic=training.may_be_random,
            running=training.running_statistics,
            lone=rule is not None and rule.has_lone_sample(cfg.train_size),
        )

    @property
    def config(self) -> ModelConfig:
        """Return the model's config."""
        return ModelConfig(**json.loads(self.model))


@lru_cache(maxsize=_MOST_REMEMBERED)
def try_model(fit: Fit, ch: int) -> ModelCost:
    """Build a model, try it and its gradients on a few samples.

    Raises:
        GsnrError: It cannot be built, does not fit the data or the machine's memory, or has no
            per-sample gradients.
    """
    if _is_ours(fit):
        check_weights(ch, _count_weights(fit, ch))
        narrower = width_to_try(fit, ch)
        if narrower < ch:
            try_model(fit, narrower)
            return cost_of_width(fit, ch)
    x, targets = _samples(fit)
    network, cost = _pass_forward(fit, ch, x)
    where, loss = describe_model(fit.config), make_loss(fit.of_loss, fit.task)
    try:
        call(where, choose_moments_method, network, x, targets, loss, fit.stochastic)
        if fit.stochastic:
            call(where, differs_in_training, network, x)
        if fit.lone and norms_of(network):
            call(where, _pass_alone, network, x)
    except UserCodeError as error:
        raise GsnrError(f"{where}: {error}") from error.__cause__
    return cost


def width_to_try(fit: Fit, ch: int) -> int:
    """Return a width to try a model at: of a large one of ours half of `ch`, and so on.

    What is tried does not depend on the width; its time and memory do (`check_weights`).
    """
    while ch > 1 and _is_ours(fit) and _count_weights(fit, ch) > _MOST_TRIED:
        ch //= 2
    return ch


def _pass_alone(network: nn.Module, x: Tensor) -> None:
    """Pass a mini-batch of one sample through batch normalization.

    Raises:
        GsnrError: A layer has a single value a channel of it, and so no variance.
    """
    trial = copy.deepcopy(network)
    set_modes(norms_of(trial), Mode.BATCH)
    with torch.enable_grad():
        trial(x[:1])


@lru_cache(maxsize=_MOST_REMEMBERED)
def cost_of_width(fit: Fit, ch: int) -> ModelCost:
    """Return the cost of a model that was tried at another width.

    Our own large models are built without memory for their weights. The first pass through such
    empty tensors loads PyTorch's compiler, which takes longer than a small model's real weights. A
    user's code might keep empty tensors for later, so that it gets real ones.

    Raises:
        GsnrError: The model cannot be built with this width, or does not fit the data.
    """
    x, _ = _samples(fit)
    if _is_ours(fit):
        n_weights = _count_weights(fit, ch)
        check_weights(ch, n_weights)
        if n_weights > _FEW_WEIGHTS:
            with torch.device("meta"):
                return _pass_forward(fit, ch, x.to("meta"))[1]
    return _pass_forward(fit, ch, x)[1]


def _is_ours(fit: Fit) -> bool:
    return is_ours(fit.config._target_)


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


def _samples(fit: Fit) -> tuple[Tensor, Tensor]:
    """Draw a few samples of the run's, or noise for a model that takes any numbers."""
    if fit.samples is not None:
        return fit.samples()
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(_N_SAMPLES, *fit.input_shape, generator=generator)
    regression = fit.task == "regression"
    classes = torch.arange(len(x)) % fit.n_outputs
    return x, torch.zeros(len(x), fit.n_outputs) if regression else classes


def _pass_forward(fit: Fit, ch: int, x: Tensor) -> tuple[nn.Module, ModelCost]:
    """Build the network where `x` lies and pass `x` through it."""
    where, ours, before = describe_model(fit.config), _is_ours(fit), x.clone()
    with unchanged_global_state(where):
        model = build_model(fit.config, ch, fit.input_shape, fit.n_outputs, seed=0)
        dtype: torch.dtype = getattr(torch, fit.dtype)
        prepared = partial(prepare_network, model, dtype, x.device, fit.running)
        network = prepared() if ours else _copied(prepared, where)
        outputs, flops = _count_flops(lambda: network(x), fit)
    if problem := _output_problem(outputs, len(x), fit.n_outputs):
        raise GsnrError(
            f"{where}: it returns {problem}; one tensor of shape ({len(x)}, {fit.n_outputs}) is "
            f"needed for {len(x)} samples: one output a class (or target), in floats."
        )
    if not x.is_meta and not torch.equal(x, before):
        raise GsnrError(
            f"{where}: its forward changes its inputs in place, which are the samples that others "
            "are measured on. Let it make new tensors, such as x = x + 1 for x += 1."
        )
    parameters = trained_parameters(network)
    n_parameters = parameters[-1].stop if parameters else 0
    return network, ModelCost(n_parameters, flops / len(x), parameters)


def _count_flops(forward: Callable[[], object], fit: Fit) -> tuple[object, int]:
    try:
        return call(describe_model(fit.config), count_flops, forward)
    except UserCodeError as error:
        raise GsnrError(
            f"{describe_model(fit.config)} does not take this data's inputs of shape "
            f"{fit.input_shape} in {fit.dtype}: {error}. Choose a model that fits the data"
            f"{_OF_TOKENS if 'indices' in str(error) else ''}."
        ) from error.__cause__


def _copied(prepared: Callable[[], nn.Module], where: str) -> nn.Module:
    """Bring a network into the form that replicas have, each of which is a copy."""
    try:
        return call(where, copy.deepcopy, prepared())
    except UserCodeError as error:
        raise GsnrError(
            f"{where}: it cannot be copied to replicas ({error}). Keep tensors that are computed "
            "from parameters out of its attributes, and open files and locks, too."
        ) from error.__cause__


def _output_problem(outputs: object, n: int, n_outputs: int) -> str:
    """Say what a network returns that is not what it must return; empty for nothing."""
    if not isinstance(outputs, Tensor):
        if isinstance(outputs, tuple | list | dict):
            return f"a {type(outputs).__name__} of {len(outputs)}"
        return kind(outputs)
    if outputs.shape != (n, n_outputs):
        return f"a tensor of shape {tuple(outputs.shape)}"
    if outputs.dtype not in (torch.float32, torch.float64):
        return f"{str(outputs.dtype).removeprefix('torch.')}"
    if not outputs.is_meta and not bool(outputs.isfinite().all()):
        return "values that are not finite"
    return ""
