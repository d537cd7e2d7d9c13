"""Conditions C1 to C3 of Theorem 1, and how perturbed weights change activations and outputs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gsnr_sweep.measures.complexity.conditions import Conditions, conditions
from gsnr_sweep.measures.complexity.relu_network import ReluNetwork
from gsnr_sweep.measures.complexity.settings import ComplexityConfig
from gsnr_sweep.measures.trained_network import PassCounts, TrainedNetwork, of_network

_QUANTILES = torch.linspace(0, 1, 101, dtype=torch.float64)
_PASSES_A_SAMPLE = 5000.0  # products of all layers' matrices: about width times depth


def _cost(settings: ComplexityConfig) -> PassCounts:
    return PassCounts(fixed=_PASSES_A_SAMPLE * settings.condition_samples)


def _check(model: nn.Module, example: Tensor) -> None:
    del example
    ReluNetwork.of(model, torch.float64)


@of_network(passes=_cost, check=_check)
def norm_conditions(network: TrainedNetwork) -> dict[str, float | list[float]]:
    """Constants that the conditions of Theorem 1 hold with (Neyshabur et al. 2017, arXiv version).

    Of fully connected ReLU networks; `Conditions` has the exact definitions.

    Returns:
        ``c1_inverse_mu``, the largest 1/μ of C1, and its quantiles from 0 to 1 in hundredths over
        samples and layers, ``c1_ratios_vectors`` (a = 0) and ``c1_ratios_matrices`` (a ≥ 1; empty
        for two layers); ``c2_constant``, the largest C_2 for δ of 0.1, 0.3 and 1 root mean squares
        of a layer (for every δ > 0 it rests on a single unit near zero); ``c3_row_norms``,
        max_j‖W_i[j,·]‖ / mean_j‖W_i[j,·]‖ of each layer, ``c3_ratio``, its largest, and
        ``c3_constant``, the largest C_3; over ``condition_gammas`` γ, the share ``c2_flips`` of
        activations that change their sign, and the relative change of the outputs,
        ``output_change``, means over the draws.
    """
    settings = network.settings
    found = conditions(
        network.model,
        next(network.samples.parts(settings.condition_samples)),
        draws=settings.condition_draws,
        dtype=network.dtype,
    )
    return {
        "c1_inverse_mu": found.inverse_mu,
        "c1_ratios_vectors": _quantiles(found, vectors=True),
        "c1_ratios_matrices": _quantiles(found, vectors=False),
        "c2_constant": float(found.c2_at_deltas.max()),
        "c3_ratio": float(found.row_norms.max()),
        "c3_row_norms": found.row_norms.tolist(),
        "c3_constant": float(found.c3.max()),
        "condition_gammas": found.gammas.tolist(),
        "c2_flips": found.pooled_flips.mean(0).tolist(),
        "output_change": found.output_change.mean(0).tolist(),
    }


def _quantiles(found: Conditions, *, vectors: bool) -> list[float]:
    ratios = [own for (a, _, _), own in found.c1.items() if (a == 0) == vectors]
    if not ratios:
        return []
    inverse = torch.cat([own.flatten() for own in ratios]).double().reciprocal()
    quantiles: list[float] = inverse.quantile(_QUANTILES).tolist()
    return quantiles
