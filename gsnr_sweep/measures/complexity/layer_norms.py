"""Norms of each layer of a network, and of how far it has moved from its initial weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gsnr_sweep.measures.complexity.graph import Network, read_network
from gsnr_sweep.measures.complexity.norms import log_frobenius_norm
from gsnr_sweep.measures.complexity.spectral import log_operator_norm


@dataclass(frozen=True)
class LayerNorms:
    """Natural logs of the squared norms of d linear and convolutional layers, in their order.

    Attributes:
        frobenius: log ‖W_i‖_F²; −inf for a weight of zeros.
        spectral: log ‖W_i‖², of the layer as a linear map (`log_operator_norm`).
    """

    frobenius: tuple[float, ...]
    spectral: tuple[float, ...]


@torch.no_grad()
def layer_norms(network: Network) -> LayerNorms:
    """Return the norms of a network's layers; biases do not count.

    Args:
        network: As `read_network` reads it, batch normalization folded or not.
    """
    layers = network.weight_steps
    return LayerNorms(
        tuple(2 * log_frobenius_norm(step) for step in layers),
        tuple(2 * log_operator_norm(step) for step in layers),
    )


def sum_over(above: tuple[float, ...], below: tuple[float, ...] | None = None) -> float:
    """Return Σ exp(a_i), or Σ exp(a_i − b_i), of logs; infinite where a divisor is 0."""
    if below is None:
        return math.fsum(map(math.exp, above))
    pairs = zip(above, below, strict=True)
    return math.fsum(math.inf if b == -math.inf else math.exp(a - b) for a, b in pairs)


@torch.no_grad()
def distances(model: nn.Module, initial: Mapping[str, Tensor], example: Tensor) -> LayerNorms:
    """Return ‖W_i − W_i⁰‖_F² and ‖W_i − W_i⁰‖² of each layer (Jiang et al. 2020, eqs. 40, 41).

    Batch normalization is not folded: its statistics are no weights, and have no initial values.

    Args:
        model: A trained network; stays as it is.
        initial: W⁰ by parameter name.
        example: Inputs that it accepts, [N, ...]; only their shape matters.

    Returns:
        Their logs.
    """
    moved = copy.deepcopy(model).double().eval()
    for name, parameter in moved.named_parameters():
        parameter.sub_(initial[name].to(parameter))
    return layer_norms(read_network(moved, example))
