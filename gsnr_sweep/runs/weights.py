"""Measuring given weights: the step that a run would measure there, without any training."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from gsnr_sweep.config.schema import Config
from gsnr_sweep.data.registry import distribution
from gsnr_sweep.data.sampling import draw_sets
from gsnr_sweep.data.seeding import Stream, torch_seed
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.measures import load_measures, measure_all, requirements_of
from gsnr_sweep.models.build import build_model, describe_model
from gsnr_sweep.records.record import Measurement
from gsnr_sweep.records.weights import BUFFER, Weights
from gsnr_sweep.runs.device import choose_device, set_exact_arithmetic
from gsnr_sweep.training.ensemble import Ensemble

_MOST_NAMED = 20


def measure_weights(cfg: Config, files: Iterable[Weights]) -> Iterator[tuple[str, Measurement]]:
    """Measure networks on one training set (M = 1) and the test set of a config.

    Each is measured at the step θ → θ − λ g of gradient descent from the given weights θ, as a run
    measures an epoch: with M = 1 the means E_D over training sets in eqs. (23) and (24) of Liu et
    al. 2020 are the value of the one set, and standard errors over sets do not exist.

    Args:
        cfg: A checked config with ``n_sets=1``, ``epochs=0`` and ``measure_at=[0]``.
        files: The weights, by name.

    Yields:
        The name and what was measured, in the order of the files.

    Raises:
        GsnrError: Names or shapes of some weights are not those of the network.
    """
    device = choose_device(cfg.device)
    set_exact_arithmetic(cfg.tf32)
    source = distribution(cfg.data)
    sets, spec = draw_sets(source, cfg.sampling), source.spec
    measures = load_measures(cfg.measures.functions, cfg.measures.of_networks)
    wanted = requirements_of(measures)
    # Nothing is known of the training.
    wanted = dataclasses.replace(wanted, milestones=frozenset())
    if cfg.rule is not None:  # what its own next step is depends on more than weights
        wanted = dataclasses.replace(wanted, own_steps=False)
    seed = torch_seed(cfg.weights_seed, Stream.INITIAL_WEIGHTS)
    training = dataclasses.replace(cfg.training, threads=1)
    for weights in files:
        model = build_model(cfg.model, cfg.ch, spec.input_shape, spec.n_outputs, seed)
        put_weights(model, weights, describe_model(cfg.model))
        ensemble = Ensemble(model, sets, spec.task, training, device)
        for replica in ensemble.replicas:
            replica.initial = {}
        _keep_precision(ensemble, weights.tensors)
        (snapshot,) = ensemble.run(wanted=wanted)
        yield weights.name, Measurement.from_values(0, measure_all(measures, snapshot))


def put_weights(model: nn.Module, weights: Weights, network: str) -> None:
    """Put weights into a network, which gets their precision.

    Args:
        model: Is changed.
        weights: Parameters and buffers by the names of ``model.state_dict()``. Of tensors that the
            network shares, one name is enough.
        network: What to call the network.

    Raises:
        GsnrError: Names or shapes differ; the text names each difference.
    """
    state = model.state_dict()
    own = {name: t for name, t in state.items() if isinstance(t, Tensor)}
    given = _with_shared(own, weights.tensors)
    if weights.kept:
        given = _with_untrained(model, own, given)
    if differences := list(_differences(own, given)):
        if (more := len(differences) - _MOST_NAMED) > 0:
            differences[_MOST_NAMED:] = [f"and {more} more"]
        raise GsnrError(
            f"{weights.name} does not fit {network}: {'; '.join(differences)}. Name the network "
            "that these weights are of: --model, its width ch and its arguments "
            "(+model.args.NAME=VALUE)."
        )
    if any(tensor.dtype == torch.float64 for tensor in given.values()):
        model.double()
    model.load_state_dict(given, strict=False)  # judged above; extra state is no tensor


def _with_shared(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Add the other names of tensors that a network shares (tied weights)."""
    places = {own[name].data_ptr(): t for name, t in given.items() if name in own}
    shared = {name: places[t.data_ptr()] for name, t in own.items() if t.data_ptr() in places}
    return {**{name: t for name, t in shared.items() if t.shape == own[name].shape}, **given}


def _with_untrained(
    model: nn.Module, own: Mapping[str, Tensor], kept: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Add what a run does not keep: frozen parameters, and statistics that measuring makes anew."""
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    left = {name: t for name, t in own.items() if name not in trained}
    buffers = {name.removeprefix(BUFFER): t for name, t in kept.items() if name.startswith(BUFFER)}
    parameters = {name: t for name, t in kept.items() if not name.startswith(BUFFER)}
    return left | parameters | {name: t for name, t in buffers.items() if name in own}


def _differences(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> Iterator[str]:
    for name, tensor in own.items():
        if name not in given:
            yield f"{name} {_shape(tensor)} is missing in the file"
        elif given[name].shape != tensor.shape:
            yield (
                f"{name} is {_shape(given[name])} in the file and {_shape(tensor)} in the network"
            )
        elif tensor.is_floating_point() and not given[name].is_floating_point():
            yield f"{name} holds {str(given[name].dtype).removeprefix('torch.')} in the file"
    for name in given:
        if name not in own:
            yield f"{name} {_shape(given[name])} is not in the network"


def _shape(tensor: Tensor) -> str:
    return f"[{', '.join(map(str, tensor.shape))}]"


def _keep_precision(ensemble: Ensemble, given: Mapping[str, Tensor]) -> None:
    """Have the float64 weights beside the network hold what the file does, not its rounding."""
    state = ensemble.state()
    exact = {f"0.{name}": tensor for name, tensor in given.items()}
    ensemble.load_state(state | {name: t for name, t in exact.items() if name in state})
