"""Kendall's rank correlation of a measure with the target, over all networks and by axis."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gsnr_sweep.analysis.ranking.networks import Networks
from gsnr_sweep.analysis.seeds import Matrix, Resamples, ratio

Signs = NDArray[np.int8]
_BLOCK = 1000


def kendall_tau(networks: Networks, agreement: Signs, resamples: Resamples) -> Matrix:
    """Return τ of each resample (Jiang et al. 2020, eq. 2).

    τ = mean over ordered pairs i ≠ j of sign(μ_i − μ_j) sign(g_i − g_j): Kendall's τ_a, in which
    a tie counts as 0.

    Args:
        networks: N networks.
        agreement: sign(μ_i − μ_j) sign(g_i − g_j), shape (N, N).
        resamples: Of their seeds.
    """
    by_seed = np.zeros((len(networks), networks.n_seeds))
    by_seed[np.arange(len(networks)), networks.seeds] = 1
    blocks = range(0, len(networks), _BLOCK)  # of rows: the whole table in float64 would be large
    summed = [agreement[i : i + _BLOCK].astype(float) @ by_seed for i in blocks]
    agreeing = by_seed.T @ np.concatenate(summed)
    sizes = by_seed.sum(0)
    pairs = np.outer(sizes, sizes) - np.diag(sizes)
    counts = resamples.counts
    above, below = (np.einsum("bs,st,bt->b", counts, each, counts) for each in (agreeing, pairs))
    return ratio(above, below)


def granulated(networks: Networks, agreement: Signs, resamples: Resamples) -> Matrix:
    """Return ψ_i of each axis and resample (Jiang et al. 2020, eqs. 4 and 5).

    ψ_i is the mean of τ over groups of networks that differ in axis i alone; seeds are never
    compared with each other. Their mean over the axes is Ψ.

    Args:
        networks: N networks.
        agreement: As in `kendall_tau`.
        resamples: Of their seeds.

    Returns:
        Shape (axes, resamples); NaN for an axis without any pair.
    """
    psi = np.full((len(networks.axes), len(resamples.counts)), np.nan)
    for place, (first, second) in enumerate(networks.neighbours):
        if not len(first):
            continue
        others = [k for k in range(len(networks.axes)) if k != place]
        group = networks.setting(others, with_seed=True)[first]
        pairs, agreeing = np.bincount(group), np.bincount(group, agreement[first, second])
        there = np.flatnonzero(pairs)
        seed_of = np.zeros(len(pairs), dtype=np.intp)
        seed_of[group] = networks.seeds[first]
        tau, seeds = agreeing[there] / pairs[there], seed_of[there]
        sums = np.bincount(seeds, tau, networks.n_seeds)
        groups = np.bincount(seeds, minlength=networks.n_seeds)
        psi[place] = ratio(resamples.counts @ sums, resamples.counts @ groups)
    return psi
