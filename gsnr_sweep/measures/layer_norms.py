"""Sums and products of layers' norms, and distances from the initial weights."""

from __future__ import annotations

import math

from torch import Tensor, nn

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.measures.complexity.folding import folded
from gsnr_sweep.measures.complexity.graph import Network, read_network
from gsnr_sweep.measures.complexity.layer_norms import (
    LayerNorms,
    distances,
    log_product,
    log_sum_form,
)
from gsnr_sweep.measures.complexity.layer_norms import layer_norms as norms_of
from gsnr_sweep.measures.margin import gamma_of
from gsnr_sweep.measures.trained_network import PassCounts, TrainedNetwork, of_network
from gsnr_sweep.measures.undefined import Undefined

_LANCZOS_PASSES = 400.0


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
    own = norms_of(graph)
    values: dict[str, float] = {
        "param_norm": math.fsum(own.frobenius),
        "frobenius_over_spectral": own.frobenius_over_spectral,
    }
    moved = _distances(network)
    values["distance_from_init"] = (
        moved if isinstance(moved, Undefined) else math.fsum(moved.frobenius)
    )
    values["distance_from_init_spectral"] = (
        moved if isinstance(moved, Undefined) else math.fsum(moved.spectral)
    )
    gamma = gamma_of(network)
    inverse = Undefined(f"the margin γ = {gamma:.4g} is not positive: too many misclassified")
    values["inverse_margin2"] = gamma**-2 if gamma > 0 else inverse
    return values | _products(network, graph, own, moved, gamma)


def _products(
    network: TrainedNetwork,
    graph: Network,
    own: LayerNorms,
    moved: LayerNorms | Undefined,
    gamma: float,
) -> dict[str, float]:
    """Return what products over layers bound, as log10."""
    d = len(own.frobenius)
    log_gamma2 = 2 * math.log(gamma) if gamma > 0 else math.nan
    products = {"spectral": log_product(own.spectral), "l2": log_product(own.frobenius)}
    values = {}
    for name, product in products.items():
        values[f"log10_sum_{name}"] = log_sum_form(product, d)
        values[f"log10_sum_{name}_over_margin2"] = log_sum_form(product - log_gamma2, d)
    spectral = products["spectral"] - log_gamma2
    values["log10_spectral_orig_over_margin2"] = spectral + _log(own.frobenius_over_spectral)
    init: float = math.nan
    if isinstance(moved, Undefined):
        init = moved
    elif not network.normalizes:
        pairs = zip(moved.frobenius, own.spectral, strict=True)
        init = spectral + _log(math.fsum(f / s if s else math.inf for f, s in pairs))
    values["log10_spectral_init_over_margin2"] = init
    reason = _why_not(network, graph, gamma)
    return {name: _told(name, value, reason) for name, value in values.items()}


def _told(name: str, value: float, reason: dict[str, str]) -> float:
    """Return a value in decades, or why it is undefined."""
    if isinstance(value, Undefined):
        return value
    for part, why in reason.items():
        if part in name:
            return Undefined(why)
    return value / math.log(10)


def _why_not(network: TrainedNetwork, graph: Network, gamma: float) -> dict[str, str]:
    """Return why measures whose names have a part in them are undefined."""
    reasons = {}
    if graph.branching is not None:
        reasons["log10"] = "products over layers bound chains only"
    elif graph.diagonal is not None:
        reasons["log10"] = "a batch normalization cannot be folded into the layer before it"
    if gamma <= 0:
        told = f"the margin γ = {gamma:.4g} is not positive: too many samples misclassified"
        reasons["over_margin2"] = told
    if network.normalizes:
        reasons["spectral_init"] = _NOT_FOLDED
    return reasons


_NOT_FOLDED = "with batch normalization folded there are no initial weights to compare with"


def _distances(network: TrainedNetwork) -> LayerNorms | Undefined:
    if not network.initial:
        return Undefined("the initial weights are not known")
    try:
        return distances(network.model, network.initial, network.example)
    except GsnrError as error:
        return Undefined(str(error))


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf
