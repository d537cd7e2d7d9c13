"""Norms of a trained network over its margin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from torch import Tensor, nn

from gsnr_sweep.measures.complexity.folding import folded
from gsnr_sweep.measures.complexity.graph import read_network
from gsnr_sweep.measures.complexity.norms import NormMeasures, norm_measures
from gsnr_sweep.measures.complexity.path_norm import BiasRule, PoolingRule
from gsnr_sweep.measures.margin import gamma_of, over_margin2
from gsnr_sweep.measures.trained_network import PassCounts, TrainedNetwork, of_network
from gsnr_sweep.measures.undefined import Undefined

_LANCZOS_PASSES = 200.0  # a few dozen for each layer, each of them about a forward pass


def _check(model: nn.Module, example: Tensor) -> None:
    read_network(folded(model, example), example)


@of_network(passes=lambda _: PassCounts(1.0, _LANCZOS_PASSES), check=_check)
def norms_over_margin(network: TrainedNetwork) -> dict[str, float]:
    """The four norms of Neyshabur et al. 2017 over γ², batch normalization folded, log10.

    Returns:
        ``log10_l2_over_margin2`` Π‖W_i‖_F² / γ², ``log10_l1_path_over_margin2`` (Σ_paths Π|w|)² /
        γ², ``log10_l2_path_over_margin2`` Σ_paths Π w² / γ², ``log10_spectral_over_margin2``
        Π‖W_i‖₂² / γ² with the norms of layers as maps, and ``log10_spectral_reshape_over_margin2``
        with those of out × rest matrices; and each with ``_capacity``, the factors of depth and
        width put back. `norm_measures` has the exact definitions. `Undefined` if γ is not positive,
        and those that are not defined for the network.
    """
    settings = network.settings
    found = norm_measures(
        network.model,
        network.example,
        bias=cast(BiasRule, settings.norm_bias),
        pooling=cast(PoolingRule, settings.norm_pooling),
    )
    gamma = gamma_of(network)
    return {_metric(name): value for name, value in _over(gamma, found)}


def _over(gamma: float, found: NormMeasures) -> Iterator[tuple[str, float]]:
    for name, reason in found.refused.items():
        yield name, Undefined(reason)
    for name, value in found.values.items():
        yield name, over_margin2(value, gamma)


def _metric(name: str) -> str:
    norm, is_capacity, _ = name.partition("_capacity")
    return f"log10_{norm}_over_margin2{is_capacity}"
