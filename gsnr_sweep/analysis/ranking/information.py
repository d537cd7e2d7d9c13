"""Conditional mutual information between a measure's order of two networks and the target's."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from gsnr_sweep.analysis.ranking.networks import Networks
from gsnr_sweep.analysis.seeds import Matrix, Resamples, ratio

LARGEST_CONDITION = 2
"""Most axes that are conditioned on at once, as in Jiang et al. 2020."""
_SIGNS = 3


def information_by_condition(
    networks: Networks,
    measure_signs: NDArray[np.int8],
    target_signs: NDArray[np.int8],
    resamples: Resamples,
) -> dict[tuple[int, ...], Matrix]:
    r"""Return the normalized conditional mutual information for each set S of axes.

    Over ordered pairs of networks, with V_μ = sign(μ − μ'), V_g = sign(g − g') and U_S the values
    of the axes S in both networks (Jiang et al. 2020, eqs. 8 to 11):

        Î_S = I(V_μ; V_g | U_S) / H(V_g | U_S),  p(u) uniform over the values u of U_S that occur.

    S has at most `LARGEST_CONDITION` axes and leaves at least one out: given all of them, only
    seeds would be compared.

    Args:
        networks: N networks.
        measure_signs: sign(μ_i − μ_j), shape (N, N).
        target_signs: sign(g_i − g_j), shape (N, N).
        resamples: Of their seeds.

    Returns:
        By the axes' places the value of each resample, from 0 to 1.
    """
    first, second = np.triu_indices(len(networks), 1)
    both = (measure_signs[first, second] + 1) * _SIGNS + target_signs[first, second] + 1
    of_seeds = networks.seeds[first] * networks.n_seeds + networks.seeds[second]
    counts = resamples.counts
    weights = (counts[:, :, None] * counts[:, None, :]).reshape(len(counts), -1)
    found = {}
    axes = range(len(networks.axes))
    for size in range(min(LARGEST_CONDITION, max(len(axes) - 1, 0)) + 1):
        for chosen in combinations(axes, size):
            setting = networks.setting(chosen)
            levels = int(setting.max(initial=0)) + 1
            cells = of_seeds * levels + setting[first]
            cells = (cells * levels + setting[second]) * _SIGNS**2 + both
            shape = (networks.n_seeds, networks.n_seeds, levels, levels, _SIGNS, _SIGNS)
            table = np.bincount(cells, minlength=math.prod(shape)).reshape(shape)
            # The pairs (j, i): seeds, settings and signs the other way round.
            table = table + table.transpose(1, 0, 3, 2, 4, 5)[..., ::-1, ::-1]
            joint = weights @ table.reshape(weights.shape[1], -1)
            found[chosen] = _normalized(joint.reshape(len(counts), levels**2, _SIGNS, _SIGNS))
    return found


def least_information(by_condition: dict[tuple[int, ...], Matrix]) -> Matrix:
    """Return K = min over S of Î_S for each resample (Jiang et al. 2020, eq. 12)."""
    least: Matrix = np.min(list(by_condition.values()), axis=0)
    return least


def _normalized(joint: Matrix) -> Matrix:
    """Return I / H of counts, shape (resamples, values of u, signs of μ, signs of g)."""
    total = joint.sum((2, 3), keepdims=True)
    there = total[..., 0, 0] > 0
    p = joint / np.where(total > 0, total, 1)
    of_target = _entropy(p.sum(2))
    information = _entropy(p.sum(3)) + of_target - _entropy(p.reshape(*p.shape[:2], -1))
    above = np.where(there, information, 0).sum(1)
    below = np.where(there, of_target, 0).sum(1)
    return ratio(np.maximum(above, 0), below)


def _entropy(p: Matrix) -> Matrix:
    """Return −Σ p log p over the last axis."""
    entropy: Matrix = -(p * np.log(np.where(p > 0, p, 1))).sum(-1)
    return entropy
