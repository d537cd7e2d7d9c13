"""The gradient signal-to-noise ratio of the parameters."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gsnr_sweep.measures.ratio import mean
from gsnr_sweep.training.snapshot import Snapshot


def gsnr(snapshot: Snapshot) -> dict[str, float | list[float]]:
    """GSNR r_j = g²_D,j / ρ²_D,j of each replica (Liu et al. 2020, eqs. 2 and 25), summarized.

    Means and medians run over the parameters of all replicas whose per-sample gradients vary at all
    (`Snapshot.alive`): dead ReLUs leave parameters with exactly zero gradient, where the ratio is
    0/0. The plug-in ratio sits on a floor of about 1/n, since E(g²_D) = g̃² + ρ²/n; the debiased one
    estimates the numerator by g²_D − ρ²/n with the unbiased ρ², and may be negative.

    Returns:
        ``gsnr_mean``, ``gsnr_median``, ``gsnr_debiased_mean``, ``gsnr_alive_fraction``, and
        ``gsnr_mean/LAYER`` for each layer that owns parameters. If parameters are followed one by
        one: ``gsnr_followed_mean`` over all of them, and ``gsnr/NAME``, the ratio of each, averaged
        over the replicas where it varies.
    """
    alive = snapshot.alive
    ratios = snapshot.gradient.square() / snapshot.gradient_variance
    values: dict[str, float | list[float]] = {
        "gsnr_mean": mean(ratios, alive),
        "gsnr_median": float(ratios[alive].median()) if bool(alive.any()) else math.nan,
        "gsnr_debiased_mean": mean(_debiased(snapshot), alive),
        "gsnr_alive_fraction": float(alive.double().mean()),
    }
    for name, part in snapshot.layers.items():
        values[f"gsnr_mean/{name}"] = mean(ratios[:, part], alive[:, part])
    return values | _followed(snapshot, ratios)


def _followed(snapshot: Snapshot, ratios: Tensor) -> dict[str, float | list[float]]:
    """Return the ratios of the parameters that are followed one by one, and their mean."""
    if not snapshot.followed:
        return {}
    clean = ratios.masked_fill(~snapshot.alive, math.nan)
    parts = {p.name: clean[:, p.start : p.stop] for p in snapshot.followed}
    together = torch.cat(list(parts.values()), dim=1)
    values: dict[str, float | list[float]] = {
        "gsnr_followed_mean": mean(together, ~together.isnan())
    }
    return values | {f"gsnr/{name}": part.nanmean(0).tolist() for name, part in parts.items()}


def _debiased(snapshot: Snapshot) -> Tensor:
    n = snapshot.n
    unbiased = snapshot.plugin_variance * (n / (n - 1))
    return snapshot.gradient.square() / unbiased - 1 / n
