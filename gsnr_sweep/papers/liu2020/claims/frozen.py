"""Claims about feature learning: Fig. 6 and Table 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gsnr_sweep.analysis.claim import UNCLEAR, Claim
from gsnr_sweep.analysis.curves import (
    RISE,
    is_frozen,
    last,
    read_by_seed,
    too_short,
    trained,
)
from gsnr_sweep.analysis.rule import Condition, judge
from gsnr_sweep.analysis.seed_means import INTERVAL, each_seed

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from gsnr_sweep.analysis.analysis import Analysis

METRIC = "gsnr_followed_mean"
CLEAR_RISE = 1.5
"""Factor by which the GSNR rises that the rule should find: less than any feature of Table 1."""
FEATURES = 5
"""Features of a run in the comparison: those of largest GSNR, as many as Table 1 has."""
CLOSED_FORM = {what: f"linear_regression_{what}_error" for what in ("loss", "gradient", "gsnr")}
ROUNDING = 1e-4
"""Relative difference from a closed form in float64 that computing in float32 explains.

Sums of float32 products are known to some 1e-7 of their largest terms; late in training the
gradient is a small difference of terms a thousand times larger.
"""
HALF, MOST = 0.5, 0.8
"""Share of the features that must be closer to the target, and the least that should be found."""


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
            claims.append(is_linear_regression(frozen, start))
        if not free.empty:
            claims.append(learns_features(analysis.features, str(init), start))
    return claims


def rises(free: DataFrame, start: str) -> Claim:
    """Holds if the second layer's mean GSNR reaches more than 1.25 times its start."""
    text = f"{start}with the first layer trained, the second layer's GSNR rises significantly."
    highest = Condition(_read(free, max), RISE, CLEAR_RISE)
    if not highest.mean.seeds:
        return too_short(text, "3.2, Fig. 6a", METRIC)
    return judge(
        text,
        "3.2, Fig. 6a",
        [highest],
        f"highest over first GSNR {highest.mean.written('.2f')}, seed by seed "
        f"{_listed(highest)}. Rule: {INTERVAL} above {RISE}.",
        runs=free["run_id"].nunique(),
    )


def stays_low(frozen: DataFrame, start: str) -> Claim:
    """Holds if the GSNR stays below 1.25 times its start and ends below it."""
    text = f"{start}with the first layer frozen, the GSNR decreases and remains low."
    highest = Condition(_read(frozen, max), RISE, 1.0)
    left = Condition(_read(frozen, last), 1.0, 0.5)
    if not highest.mean.seeds:
        return too_short(text, "3.2, Fig. 6a", METRIC)
    return judge(
        text,
        "3.2, Fig. 6a",
        [highest, left],
        f"highest over first GSNR {highest.mean.written('.2f')}, seed by seed {_listed(highest)}; "
        f"last over first {left.mean.written('.2f')}, {_listed(left)}. Rule: {INTERVAL} of the "
        f"highest below {RISE} and of the last below 1.",
        runs=frozen["run_id"].nunique(),
    )


def is_linear_regression(frozen: DataFrame, start: str) -> Claim:
    """Holds if loss, gradient and GSNR follow the closed form throughout, to float32's rounding."""
    text = f"{start}with the first layer frozen, training is that of a linear regression."
    errors = {
        what: Condition(read_by_seed(frozen, name, max), ROUNDING, 0.0)
        for what, name in CLOSED_FORM.items()
    }
    if not all(error.mean.seeds for error in errors.values()):
        return too_short(text, "3.2", CLOSED_FORM["loss"])
    told = ", ".join(f"{what} {error.mean.written('.2g')}" for what, error in errors.items())
    return judge(
        text,
        "3.2",
        list(errors.values()),
        "largest relative difference from w_t − w* = (I − λH)^t (w_0 − w*) over the training: "
        f"{told}. Rule: {INTERVAL} of each below {ROUNDING:g}.",
        runs=frozen["run_id"].nunique(),
    )


def learns_features(features: DataFrame | None, init: str, start: str) -> Claim:
    """Holds if most of the five features of largest GSNR correlate more with y at that maximum.

    Those count whose GSNR was largest after the start; more than half of them must have a larger
    |correlation| then, mean over the seeds.
    """
    text = f"{start}features are closer to the target when their GSNR is largest than at the start."
    if features is None:
        return Claim(text, "3.2, Table 1", UNCLEAR, "No feature was followed.")
    own = trained(features[features["init"] == init]).dropna(subset=["c_t0", "c_tmax"])
    top = own.sort_values("gsnr_max", ascending=False).groupby("run_id").head(FEATURES)
    later = top[top["t_max"] > 0]
    if later.empty:
        told = "No feature of largest GSNR exceeds its GSNR at the start."
        return Claim(text, "3.2, Table 1", UNCLEAR, told)
    share = Condition(each_seed(later, _closer), HALF, MOST)
    better = int((later["c_tmax"].abs() > later["c_t0"].abs()).sum())
    return judge(
        text,
        "3.2, Table 1",
        [share],
        f"{better} of {len(later)} features (of the {FEATURES} of largest GSNR a run): "
        f"median |c| {later['c_t0'].abs().median():.2f} at the start, "
        f"{later['c_tmax'].abs().median():.2f} at the maximum; share of a seed's features "
        f"{share.mean.written('.0%')}. Rule: {INTERVAL} above {HALF:.0%}.",
        runs=later["run_id"].nunique(),
    )


def _closer(later: DataFrame) -> float:
    return float((later["c_tmax"].abs() > later["c_t0"].abs()).mean())


def _read(own: DataFrame, of: Callable[[Series[float]], float]) -> Series[float]:
    return read_by_seed(own, METRIC, of, relative=True)


def _listed(condition: Condition) -> str:
    return ", ".join(f"{value:.2f}" for value in condition.values)
