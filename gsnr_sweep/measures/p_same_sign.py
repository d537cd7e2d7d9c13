"""How many samples agree on the direction of a parameter."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gsnr_sweep.ensemble.snapshot import Snapshot


def p_same_sign(snapshot: Snapshot) -> dict[str, float]:
    """Share of samples whose gradient has the more frequent sign (Liu et al. 2020, 3.1, Fig. 5c).

    max(positive, negative) / (positive + negative) of each parameter: samples with no gradient
    (dead ReLUs) have no sign and do not count.

    Returns:
        ``p_same_sign``, averaged over the parameters of all replicas with any gradient.
    """
    signed = snapshot.positive + snapshot.negative
    counted = signed > 0
    if not bool(counted.any()):
        return {"p_same_sign": math.nan}
    majority = snapshot.positive.maximum(snapshot.negative)
    return {"p_same_sign": float((majority[counted].double() / signed[counted]).mean())}
