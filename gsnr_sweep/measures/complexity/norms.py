"""The four norm measures of a network, not yet divided by its margin (Neyshabur et al. 2017)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.measures.complexity.folding import folded
from gsnr_sweep.measures.complexity.graph import Network, Step, read_network, weight_of
from gsnr_sweep.measures.complexity.path_norm import BiasRule, PoolingRule, log_path_sum
from gsnr_sweep.measures.complexity.spectral import log_operator_norm, log_reshape_norm


@dataclass(frozen=True)
class NormMeasures:
    """Norm measures of one network.

    Attributes:
        values: Natural logs by name.
        refused: Why a measure is not defined for this network, by its name.
    """

    values: Mapping[str, float]
    refused: Mapping[str, str]


@torch.no_grad()
def norm_measures(
    model: nn.Module, example: Tensor, *, bias: BiasRule = "edge", pooling: PoolingRule = "as_is"
) -> NormMeasures:
    """The norms of Neyshabur et al. 2017 of a network with its batch normalization folded.

    With weights W_1 … W_d of the linear and convolutional layers, in natural logs:

    ==================== ============================ =================================
    name                 value                        ``NAME_capacity``: in its bound
    ==================== ============================ =================================
    ``l2``               Π‖W_i‖_F²                    Π 4‖W_i‖_F²
    ``l1_path``          (Σ_paths Π|w|)²              (Σ_paths Π|2w|)² = 4^d · l1_path
    ``l2_path``          Σ_paths Π w²                 Σ_paths Π 4h_i w² = 4^d Πh_i · l2_path
    ``spectral``         Π‖W_i‖²                      Π h_i ‖W_i‖²
    ``spectral_reshape`` Π‖W_i as a matrix‖²          Π h_i ‖W_i as a matrix‖²
    ==================== ============================ =================================

    The left column is what the paper plots, over γ², the right one what its bounds have, over γ²
    as well. To divide, take 2·log γ from the log. ‖W‖ is the norm of the layer as a linear map, as
    in the paper; ``spectral_reshape`` takes that of the out × rest matrix of a convolution. h_i is
    the number of units for a linear layer and of channels for a convolution, whose units at
    different places share their weights. Biases count in the path norms only; with ``bias="edge"``
    the capacity form has 4^d Πh_i for the shorter paths from a bias, too.

    Args:
        model: Any network of `graph.Operation`; stays as it is.
        example: Inputs that it accepts, [N, ...] with N ≥ 1; only their shape matters.
        bias: What a bias counts as in a path norm (`path_norm`).
        pooling: What pooling counts as in a path norm.

    Returns:
        The measures. Products over layers, and capacity forms, exist only for chains: a network
        with sums of branches or with batch normalization that cannot be folded has them refused.
        Weights that are all zero give −inf.

    Raises:
        GsnrError: The network applies an operation for which the norms are not defined, cannot be
            traced, has weights that are not finite, or has no weights.
    """
    copy = folded(model, example)
    network = read_network(copy, example)
    layers = network.weight_steps
    if not layers:
        raise GsnrError("The network has no linear or convolutional layer, and so no norms.")
    l1, l2 = (log_path_sum(network, p, bias=bias, pooling=pooling) for p in (1, 2))
    values = {"l1_path": 2 * l1, "l2_path": l2}
    reason = no_chain(network)
    if reason:
        products = ("l2", "spectral", "spectral_reshape")
        names = (*products, *(f"{name}_capacity" for name in (*values, *products)))
        return NormMeasures(values, dict.fromkeys(names, reason))
    values |= {
        "l2": 2 * math.fsum(map(log_frobenius_norm, layers)),
        "spectral": 2 * math.fsum(map(log_operator_norm, layers)),
        "spectral_reshape": 2 * math.fsum(map(log_reshape_norm, layers)),
    }
    fours = len(layers) * math.log(4)
    widths = math.fsum(math.log(len(weight_of(step))) for step in layers)
    factors = {
        "l2": fours,
        "l1_path": fours,
        "l2_path": fours + widths,
        "spectral": widths,
        "spectral_reshape": widths,
    }
    capacities = {f"{name}_capacity": values[name] + factor for name, factor in factors.items()}
    return NormMeasures(values | capacities, {})


def no_chain(network: Network) -> str:
    """Return why products over layers are not defined; empty if they are."""
    if network.branching is not None:
        return (
            f"Products over layers bound chains only, and {network.branching.name} sums two "
            "branches."
        )
    if network.diagonal is not None:
        return (
            f"{network.diagonal.name} does not directly follow a linear or convolutional layer, so "
            "that it cannot be folded into one."
        )
    return ""


def log_frobenius_norm(step: Step) -> float:
    """Return log ‖W‖_F of a layer's weight; −inf for zeros."""
    weight = weight_of(step)
    largest = float(weight.abs().max())
    if largest == 0:
        return -math.inf
    return math.log(float(torch.linalg.vector_norm(weight / largest))) + math.log(largest)
