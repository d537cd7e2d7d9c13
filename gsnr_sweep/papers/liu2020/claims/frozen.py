"""Claims about feature learning: Fig. 6 and Table 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gsnr_sweep.analysis.claim import UNCLEAR, Claim, verdict
from gsnr_sweep.analysis.curves import (
    RISE,
    is_course,
    is_frozen,
    mean_curve,
    too_short,
    trained,
)

if TYPE_CHECKING:
    from pandas import DataFrame

    from gsnr_sweep.analysis.analysis import Analysis

METRIC = "gsnr_followed_mean"
MOST, FEW = 0.8, 0.2
"""Shares of runs in which something must be seen, or may be, for a verdict."""
FEWEST = 5
"""Runs of which a share is judged: of fewer, not one may differ for a share of 80 %."""
FEATURES = 5
"""Features of a run in the comparison: those of largest GSNR, as many as Table 1 has."""


def frozen_claims(analysis: Analysis) -> list[Claim]:
    """Judge what 3.2 says, for each kind of initial weights."""
    claims: list[Claim] = []
    for init, own in analysis.frame.groupby("init", sort=False):
        start = f"Initial weights '{init}': "
        free, frozen = trained(own), own[is_frozen(own)]
        if not free.empty:
            claims.append(rises(free, start))
        if not frozen.empty:
            claims.append(stays_low(frozen, start))
        if not free.empty:
            claims.append(learns_features(analysis.features, str(init), start))
    return claims


def rises(free: DataFrame, start: str) -> Claim:
    """Holds if in at least 80 % of the runs the GSNR reaches 1.25 times its start.

    Does not hold if in at most 20 %.
    """
    text = f"{start}with the first layer trained, the second layer's GSNR rises significantly."
    factors = _factors(free)["highest"]
    if not factors:
        return too_short(text, "3.2, Fig. 6a", METRIC)
    share = sum(factor >= RISE for factor in factors) / len(factors)
    return Claim(
        text,
        "3.2, Fig. 6a",
        verdict(share >= MOST, share <= FEW),
        f"highest over first GSNR, run by run: {_listed(factors)}. Rule: ≥ {RISE} in at least "
        f"{MOST:.0%} of the runs.",
        runs=len(factors),
        least=FEWEST,
    )


def stays_low(frozen: DataFrame, start: str) -> Claim:
    """Holds if in at least 80 % of the runs the GSNR never reaches 1.25 times its start."""
    text = f"{start}with the first layer frozen, the GSNR decreases and remains low."
    found = _factors(frozen)
    factors, ends = found["highest"], found["last"]
    if not factors:
        return too_short(text, "3.2, Fig. 6a", METRIC)
    share = sum(f < RISE and e < 1 for f, e in zip(factors, ends, strict=True)) / len(factors)
    return Claim(
        text,
        "3.2, Fig. 6a",
        verdict(share >= MOST, share <= FEW),
        f"highest over first GSNR: {_listed(factors)}; last over first: {_listed(ends)}. Rule: "
        f"highest < {RISE} and last < 1 times the first in at least {MOST:.0%} of the runs.",
        runs=len(factors),
        least=FEWEST,
    )


def learns_features(features: DataFrame | None, init: str, start: str) -> Claim:
    """Holds if most of the five features of largest GSNR correlate more with y at that maximum.

    Those count whose GSNR was largest after the start; at least 80 % of them must have a larger
    |correlation| then; does not hold if at most half have.
    """
    text = f"{start}features are closer to the target when their GSNR is largest than at the start."
    if features is None:
        return Claim(text, "3.2, Table 1", UNCLEAR, "No feature was followed.")
    own = trained(features[features["init"] == init]).dropna(subset=["c_t0", "c_tmax"])
    top = own.sort_values("gsnr_max", ascending=False).groupby("run_id").head(FEATURES)
    later = top[top["t_max"] > 0]
    if len(later) < FEATURES:
        told = f"Of the features of largest GSNR only {len(later)} exceed their GSNR at the start."
        return Claim(text, "3.2, Table 1", UNCLEAR, told)
    better = later["c_tmax"].abs() > later["c_t0"].abs()
    share = float(better.mean())
    return Claim(
        text,
        "3.2, Table 1",
        verdict(share >= MOST, share <= 0.5),
        f"{int(better.sum())} of {len(later)} features (of the {FEATURES} of largest GSNR a run): "
        f"median |c| {later['c_t0'].abs().median():.2f} at the start, "
        f"{later['c_tmax'].abs().median():.2f} at the maximum. Rule: at least {MOST:.0%}.",
        runs=later["run_id"].nunique(),
    )


def _factors(frame: DataFrame) -> dict[str, list[float]]:
    """Return each run's highest and last GSNR over its first, of those with a course."""
    found: dict[str, list[float]] = {"highest": [], "last": []}
    for _, run in frame.groupby("run_id"):
        curve = mean_curve(run, METRIC)
        if not is_course(curve) or curve.iloc[0] <= 0:
            continue
        found["highest"].append(float(curve.max()) / float(curve.iloc[0]))
        found["last"].append(float(curve.iloc[-1]) / float(curve.iloc[0]))
    return found


def _listed(values: list[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)
