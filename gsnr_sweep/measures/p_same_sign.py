"""How many samples agree on the direction of a parameter."""

from __future__ import annotations

from gsnr_sweep.measures.ratio import mean, shares_in_bins
from gsnr_sweep.measures.requires import require, requires
from gsnr_sweep.training.snapshot import Snapshot

BINS = 25
"""Bins of the distribution, evenly spaced from 0.5 to 1."""


_ON_EDGE = 1e-9  # so that a share such as 3/5 falls into the bin that begins with it


@requires(signs=True)
def p_same_sign(snapshot: Snapshot) -> dict[str, float | list[float]]:
    """Share of samples whose gradient has the more frequent sign (Liu et al. 2020, 3.1, Fig. 5c).

    max(positive, negative) / (positive + negative) of each parameter: samples with no gradient
    (dead ReLUs) have no sign and do not count.

    The paper does not say whether these samples count; with them in the denominator the share of a
    parameter that most samples leave alone is below one half.

    Returns:
        ``p_same_sign``, averaged over the parameters of all replicas with any gradient,
        ``p_same_sign_of_all``, the same with all n samples in the denominator, the first one also
        for each layer (``/LAYER``), and ``p_same_sign_density``, the distribution over the
        parameters: shares in `BINS` bins from 0.5 to 1. For parameters that are followed one by
        one, ``p_same_sign/NAME``, averaged over the replicas.
    """
    positive, negative = require(snapshot.positive), require(snapshot.negative)
    signed = positive + negative
    majority = positive.maximum(negative)
    shares, has = majority.double() / signed, signed > 0  # NaN for 0/0
    places = (shares[has] - 0.5) * (2 * BINS) + _ON_EDGE
    values: dict[str, float | list[float]] = {
        "p_same_sign": mean(shares, has),
        "p_same_sign_of_all": mean(majority.double() / snapshot.n, has),
        "p_same_sign_density": shares_in_bins(places, BINS),
    }
    for name, part in snapshot.layers.items():
        values[f"p_same_sign/{name}"] = mean(shares[:, part], has[:, part])
    for p in snapshot.followed:
        values[f"p_same_sign/{p.name}"] = shares[:, p.start : p.stop].nanmean(0).tolist()
    return values
