"""Sums and products of layers' norms, and distances from the initial weights."""

from __future__ import annotations

import math
from collections.abc import Iterator

from torch import Tensor, nn

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.measures.complexity.folding import folded
from gsnr_sweep.measures.complexity.graph import read_network
from gsnr_sweep.measures.complexity.layer_norms import LayerNorms, distances, sum_over
from gsnr_sweep.measures.complexity.layer_norms import layer_norms as norms_of
from gsnr_sweep.measures.complexity.norms import no_chain
from gsnr_sweep.measures.margin import gamma_of, over_margin2
from gsnr_sweep.measures.trained_network import (
    NO_START,
    NOT_FOLDED,
    PassCounts,
    TrainedNetwork,
    of_network,
)
from gsnr_sweep.measures.undefined import Undefined

_LANCZOS_PASSES = 400.0
_PRODUCTS = (
    *("log10_sum_spectral", "log10_sum_spectral_over_margin2"),
    *("log10_sum_l2", "log10_sum_l2_over_margin2"),
    *("log10_spectral_orig_over_margin2", "log10_spectral_init_over_margin2"),
)


def _check(model: nn.Module, example: Tensor) -> None:
    read_network(folded(model, example), example)


@of_network(passes=lambda _: PassCounts(1.0, _LANCZOS_PASSES), check=_check)
def layer_norms(network: TrainedNetwork) -> dict[str, float]:
    """Norms of the d layers' weights, after Jiang et al. 2020; batch normalization folded.

    Products are those of Neyshabur et al. 2017 (`norms_over_margin`); ‖W‖ is the norm of a layer as
    a map, γ the margin. Biases do not count.

    Returns:
        ``param_norm`` Σ‖W_i‖_F² (eq. 42), ``frobenius_over_spectral`` Σ‖W_i‖_F²/‖W_i‖² (33),
        ``distance_from_init`` Σ‖W_i − W_i⁰‖_F² (40) and ``distance_from_init_spectral``
        Σ‖W_i − W_i⁰‖² (41), both of the weights as they are trained, not folded;
        ``inverse_margin2`` 1/γ² (22). As log10: ``log10_sum_spectral`` d (Π‖W_i‖²)^{1/d} and
        ``log10_sum_l2`` d (Π‖W_i‖_F²)^{1/d}, each with ``_over_margin2`` (34 to 39, Π over γ²); and
        ``log10_spectral_orig_over_margin2`` Π‖W_i‖²/γ² · Σ‖W_i‖_F²/‖W_i‖² (30) with
        ``log10_spectral_init_over_margin2``, in which ‖W_i − W_i⁰‖_F² stands above (29; undefined
        with batch normalization). `Undefined` if γ is not positive, and products for networks that
        are no chain.
    """
    graph = read_network(network.folded, network.example)
    own, moved, gamma = norms_of(graph), _distances(network), gamma_of(network)
    inverse = over_margin2(0.0, gamma)
    values: dict[str, float] = {
        "param_norm": sum_over(own.frobenius),
        "frobenius_over_spectral": sum_over(own.frobenius, own.spectral),
        "inverse_margin2": inverse if isinstance(inverse, Undefined) else 10**inverse,
    }
    if isinstance(moved, Undefined):
        values |= dict.fromkeys(("distance_from_init", "distance_from_init_spectral"), moved)
    else:
        values["distance_from_init"] = sum_over(moved.frobenius)
        values["distance_from_init_spectral"] = sum_over(moved.spectral)
    if reason := no_chain(graph):
        return values | dict.fromkeys(_PRODUCTS, Undefined(reason))
    return values | dict(zip(_PRODUCTS, _products(network, own, moved, gamma), strict=True))


def _products(
    network: TrainedNetwork, own: LayerNorms, moved: LayerNorms | Undefined, gamma: float
) -> Iterator[float]:
    """Return what products over layers bound, in the order of `_PRODUCTS`."""
    d = len(own.frobenius)
    products = [math.fsum(own.spectral), math.fsum(own.frobenius)]
    for product in products:
        yield (math.log(d) + product / d) / math.log(10)
        over = over_margin2(product, gamma)
        yield over if isinstance(over, Undefined) else math.log10(d) + over / d
    yield over_margin2(products[0] + _log(sum_over(own.frobenius, own.spectral)), gamma)
    if isinstance(moved, Undefined):
        yield moved
    elif network.normalizes:
        yield Undefined(NOT_FOLDED)
    else:
        yield over_margin2(products[0] + _log(sum_over(moved.frobenius, own.spectral)), gamma)


def _distances(network: TrainedNetwork) -> LayerNorms | Undefined:
    if not network.initial:
        return Undefined(NO_START)
    try:
        return distances(network.model, network.initial, network.example)
    except GsnrError as error:
        return Undefined(str(error))


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf
