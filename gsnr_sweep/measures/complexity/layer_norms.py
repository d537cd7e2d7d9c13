"""Norms of each layer of a network, and of how far it has moved from its initial weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gsnr_sweep.measures.complexity.graph import Network, read_network, weight_of
from gsnr_sweep.measures.complexity.spectral import log_operator_norm


@dataclass(frozen=True)
class LayerNorms:
    """Squared norms of the weights of d linear and convolutional layers, in their order.

    Attributes:
        frobenius: ‖W_i‖_F².
        spectral: ‖W_i‖², of the layer as a linear map (`log_operator_norm`).
    """

    frobenius: tuple[float, ...]
    spectral: tuple[float, ...]

    @property
    def frobenius_over_spectral(self) -> float:
        """Σ ‖W_i‖_F² / ‖W_i‖²; infinite for a weight of zeros."""
        return math.fsum(
            f / s if s else math.inf for f, s in zip(self.frobenius, self.spectral, strict=True)
        )


def layer_norms(network: Network) -> LayerNorms:
    """Return the squared norms of a network's layers; biases do not count.

    Args:
        network: As `read_network` reads it, batch normalization folded or not.
    """
    layers = network.weight_steps
    return LayerNorms(
        tuple(float(weight_of(step).detach().double().square().sum()) for step in layers),
        tuple(math.exp(2 * log_operator_norm(step)) for step in layers),
    )


def log_product(squares: Sequence[float]) -> float:
    """Return log Π s_i; −inf if one of them is 0."""
    return math.fsum(math.log(s) if s else -math.inf for s in squares)


def log_sum_form(log_of_product: float, layers: int) -> float:
    """Return log (d (Π s_i)^{1/d}), what Jiang et al. 2020 call a sum of norms (eqs. 34 to 39)."""
    return math.log(layers) + log_of_product / layers


@torch.no_grad()
def moved(model: nn.Module, initial: Mapping[str, Tensor]) -> nn.Module:
    """Copy a network, its weights W − W⁰ in the place of W.

    Args:
        model: Stays as it is.
        initial: W⁰ by parameter name.
    """
    network = copy.deepcopy(model).double()
    for name, parameter in network.named_parameters():
        parameter.sub_(initial[name].to(parameter))
    return network


def distances(model: nn.Module, initial: Mapping[str, Tensor], example: Tensor) -> LayerNorms:
    """Return ‖W_i − W_i⁰‖_F² and ‖W_i − W_i⁰‖² of each layer (Jiang et al. 2020, eqs. 40, 41).

    Batch normalization is not folded: its statistics are no weights, and have no initial values.

    Args:
        model: A trained network.
        initial: W⁰ by parameter name.
        example: Inputs that it accepts, [N, ...]; only their shape matters.
    """
    return layer_norms(read_network(moved(model, initial).eval(), example))
