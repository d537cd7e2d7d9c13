"""How many samples agree on the direction of a parameter."""

from __future__ import annotations

from torch import Tensor

from gsnr_sweep.measures.ratio import mean, shares_in_bins
from gsnr_sweep.measures.requires import require, requires
from gsnr_sweep.training.snapshot import Snapshot

BINS = 25
"""Bins of the distribution, evenly spaced from 0.5 to 1."""


_ON_EDGE = 1e-9  # so that a share such as 3/5 falls into the bin that begins with it


@requires(signs=True)
def p_same_sign(snapshot: Snapshot) -> dict[str, float | list[float]]:
    """Share of samples whose gradients have the same sign (Liu et al. 2020, 3.1, Fig. 5c).

    The paper says no more than that, so all readings are offered, each averaged over parameters:

    - over each training set, then over the replicas; or over the samples of all sets together, each
      at its own replica's weights (``_pooled``);
    - the more frequent sign, which chance alone gives more than one half of the samples; or the
      sign of the mean gradient (``_with_mean``), which can be the rarer one;
    - of the samples with any gradient, as those without (dead ReLUs) have no sign; or of all
      samples (``_of_all``), where a parameter that most samples leave alone is below one half.

    Returns:
        ``p_same_sign`` (each set, the more frequent sign, of samples with a gradient) and with all
        combinations of ``_pooled``, ``_with_mean`` and ``_of_all``, in this order; parameters
        without any gradient, or for ``_with_mean`` without a mean one, do not count. The first one
        also for each layer (``/LAYER``), and ``p_same_sign_density``, the distribution over the
        parameters: shares in `BINS` bins from 0.5 to 1. For parameters that are followed one by
        one, ``p_same_sign/NAME``, averaged over the replicas.
    """
    positive, negative = require(snapshot.positive), require(snapshot.negative)
    counts = (positive, negative, snapshot.gradient_sum)
    pooled, n_sets = [each.sum(0, keepdim=True) for each in counts], len(positive)
    values: dict[str, float | list[float]] = {
        **_readings("p_same_sign", snapshot.n, *counts),
        **_readings("p_same_sign_pooled", snapshot.n * n_sets, *pooled),
    }
    signed = positive + negative
    shares, has = positive.maximum(negative).double() / signed, signed > 0  # NaN for 0/0
    places = (shares[has] - 0.5) * (2 * BINS) + _ON_EDGE
    values["p_same_sign_density"] = shares_in_bins(places, BINS)
    for name, part in snapshot.layers.items():
        values[f"p_same_sign/{name}"] = mean(shares[:, part], has[:, part])
    for p in snapshot.followed:
        values[f"p_same_sign/{p.name}"] = shares[:, p.start : p.stop].nanmean(0).tolist()
    return values


def _readings(
    name: str, count: int, positive: Tensor, negative: Tensor, sums: Tensor
) -> dict[str, float]:
    """Return the mean shares of the more frequent sign and of the mean gradient's.

    Args:
        name: What their names begin with.
        count: Samples in all.
        positive: [K, P] samples with a positive gradient.
        negative: [K, P] likewise.
        sums: [K, P] sum of the gradients.
    """
    signed = positive + negative
    chosen = {
        name: (positive.maximum(negative), signed > 0),
        f"{name}_with_mean": (positive.where(sums > 0, negative), (signed > 0) & (sums != 0)),
    }
    values = {}
    for reading, (agreeing, has) in chosen.items():
        values[reading] = mean(agreeing.double() / signed, has)
        values[f"{reading}_of_all"] = mean(agreeing.double() / count, has)
    return values
