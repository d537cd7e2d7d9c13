"""The GSNR early in training, as a predictor of how it ends."""

from __future__ import annotations

from itertools import pairwise

from gsnr_sweep.measures.gsnr import gsnr
from gsnr_sweep.measures.undefined import Undefined
from gsnr_sweep.training.snapshot import Snapshot

EARLY = 0.1
"""Share of the training so far that counts as early."""


def gsnr_early(snapshot: Snapshot) -> dict[str, float]:
    """Mean GSNR over the first tenth of the training so far.

    Liu et al. 2020 (section 3) find that the GSNR rises early where a network learns features.
    ``gsnr_mean`` is averaged over epochs 0 to T/10 by the trapezoidal rule, T being the present
    epoch; what was measured there is taken, so measure often at first: ``measure_at=log:30``.

    Returns:
        ``gsnr_early_mean``; `Undefined` if nothing was measured in the first tenth.
    """
    now = float(gsnr(snapshot)["gsnr_mean"])  # type: ignore[arg-type]
    course = [
        (one.epoch, one.metrics["gsnr_mean"])
        for one in snapshot.earlier
        if "gsnr_mean" in one.metrics
    ]
    points = [(t, value) for t, value in (*course, (snapshot.epoch, now)) if _is_early(t, snapshot)]
    if not points:
        return {"gsnr_early_mean": Undefined("gsnr_mean was not measured in the first tenth")}
    if len(points) == 1:
        return {"gsnr_early_mean": points[0][1]}
    area = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(points))
    return {"gsnr_early_mean": area / (points[-1][0] - points[0][0])}


def _is_early(epoch: float, snapshot: Snapshot) -> bool:
    return epoch <= EARLY * snapshot.epoch
