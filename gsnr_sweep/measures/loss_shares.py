"""Which parameters carry the generalization loss: the terms of eq. (22)."""

from __future__ import annotations

from gsnr_sweep.measures.ratio import ratio, shares_in_bins
from gsnr_sweep.training.snapshot import Snapshot

LOWEST, HIGHEST, BINS = -4.0, 1.0, 40
"""Decades of 1 / (n (r_j + 1/n)) that the distribution covers; what lies beyond is in the ends."""


def loss_shares(snapshot: Snapshot) -> dict[str, float | list[float]]:
    """Weights W_j and noise terms 1 / (r_j + 1/n) of eq. (22) (Liu et al. 2020).

    With E(g²_D,j) and ρ²_j averaged over the replicas (24), parameter j has the share W_j =
    E(g²_D,j) / Σ E(g²_D,j') in the training loss's decrease, and x_j = 1 / (n (r_j + 1/n)) =
    ρ²_j / (n E(g²_D,j)) is the part of it that does not carry over to the test loss:
    1 − R = Σ_j W_j x_j. In expectation x_j lies between 0 (signal only) and 1 (noise only).

    Returns:
        ``loss_share/LAYER`` = Σ W_j over a layer, and ``gap_share/LAYER``, the layer's share in
        1 − R. ``noise_density`` and ``noise_density_weighted`` are the distributions of x_j over
        the parameters with any gradient, counted and weighted by W_j: shares in `BINS` bins, evenly
        spaced in log10 x from `LOWEST` to `HIGHEST`.
    """
    power = snapshot.gradient.square().mean(0)
    noise = snapshot.gradient_variance.mean(0) / snapshot.n
    values: dict[str, float | list[float]] = {}
    for name, part in snapshot.layers.items():
        values[f"loss_share/{name}"] = ratio(power[part], power)
        values[f"gap_share/{name}"] = ratio(noise[part], noise)
    alive = (power > 0) & (noise > 0)
    places = ((noise[alive] / power[alive]).log10() - LOWEST) / (HIGHEST - LOWEST) * BINS
    values["noise_density"] = shares_in_bins(places, BINS)
    values["noise_density_weighted"] = shares_in_bins(places, BINS, power[alive])
    return values
