"""Claims about what the derivation of eq. (19) takes for granted: 2.3."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

from gsnr_sweep.analysis.claim import Claim
from gsnr_sweep.analysis.curves import first, is_course, last, mean_curve, read_by_seed, too_short
from gsnr_sweep.analysis.rule import Condition, judge
from gsnr_sweep.analysis.seed_means import INTERVAL, each_seed, seed_mean

if TYPE_CHECKING:
    from collections.abc import Callable

    from pandas import DataFrame, Series

    from gsnr_sweep.analysis.analysis import Analysis

    Distance = Callable[[DataFrame], Series[float]]

SAME = 0.1
"""How far from 1 a ratio may be that is 1 by an assumption."""
BROKEN = 0.3
"""Departure from an assumption that the rule should find."""
OWN_RATIO = 0.05
"""How far the mean of the sets' ratios may be from the ratio of their means."""
ROUNDING = 1e-6
FRESH = ("own_over_fresh_sq_norm", "own_over_fresh_variance")


def assumption_claims(analysis: Analysis) -> list[Claim]:
    """Judge the assumptions one by one, mean over the runs of a seed."""
    frame = analysis.aligned
    return [
        holds_at_the_start(frame),
        breaks_later(frame),
        everywhere(
            frame,
            "σ²(g_D) = ρ²/n: the variance of g_D between training sets is that within them over n.",
            "2.3, eq. (8)",
            {"between_over_within_variance": _from_one("between_over_within_variance")},
            SAME,
        ),
        everywhere(
            frame,
            "A step's decrease of the training loss is its first order, λ g_D·g_D.",
            "2.3, eq. (9)",
            {"taylor_ratio": _from_one("taylor_ratio")},
            SAME,
        ),
        everywhere(
            frame,
            "A step's decrease of the test loss is its first order, λ g_D·g_D′.",
            "2.3, eq. (10)",
            {"taylor_ratio_test": _from_one("taylor_ratio_test")},
            SAME,
        ),
        everywhere(
            frame,
            "The ratio of expectations stands for the ratio of a single training set.",
            "2.3, eqs. (15) to (19)",
            {side: _apart(f"{side}_of_sets", side) for side in ("osgr_lhs", "osgr_rhs")},
            OWN_RATIO,
        ),
        everywhere(
            frame,
            "Eq. (22), the mean over parameters by their GSNR, is eq. (19).",
            "2.3, eq. (22)",
            {"osgr_rhs_weighted": _apart("osgr_rhs_weighted", "osgr_rhs")},
            ROUNDING,
        ),
    ]


def holds_at_the_start(frame: DataFrame) -> Claim:
    """Holds if at the first epoch ‖g_D‖² and ρ² of the own set are within 10 % of fresh sets'."""
    text = "At the beginning g_D and g_D′ obey the same distribution."
    source = "2.3, Assumption 2.3.1"
    if not is_course(*(mean_curve(frame, name) for name in FRESH)):
        return too_short(text, source, FRESH[0])
    ratios = [read_by_seed(frame, name, first) for name in FRESH]
    close = [Condition((ratio - 1).abs(), SAME, 0.0) for ratio in ratios]
    told = [seed_mean(ratio).written(".3f") for ratio in ratios]
    return judge(
        text,
        source,
        close,
        f"own over fresh training sets at the first epoch: ‖g_D‖² {told[0]}, Σρ² {told[1]}. "
        f"Rule: {INTERVAL} of both ratios' distance from 1 below {SAME}.",
        runs=frame["run_id"].nunique(),
    )


def breaks_later(frame: DataFrame) -> Claim:
    """Holds if at the end ‖g_D‖² of the own set is more than 10 % below that of fresh sets."""
    text = "As training proceeds, the non-overfitting limit approximation no longer holds."
    source = "2.4 and Assumption 2.3.1"
    curve = mean_curve(frame, FRESH[0])
    if not is_course(curve):
        return too_short(text, source, FRESH[0])
    end = Condition(read_by_seed(frame, FRESH[0], last), 1 - SAME, 1 - BROKEN)
    return judge(
        text,
        source,
        [end],
        f"‖g_D‖² of the own over fresh training sets: {curve.iloc[0]:.2f} at the first epoch, "
        f"{end.mean.written('.2f')} at the last. Rule: {INTERVAL} at the last below {1 - SAME:g}.",
        runs=frame["run_id"].nunique(),
    )


def everywhere(
    frame: DataFrame, text: str, source: str, distances: dict[str, Distance], bound: float
) -> Claim:
    """Holds if each distance, mean over a seed's runs, is below a bound at every measured epoch.

    The largest over the epochs counts, the mean over the seeds of it.
    """
    found = {name: of(frame) for name, of in distances.items()}
    for name, curve in found.items():
        if curve.empty:
            return too_short(text, source, name)
    conditions = [
        Condition(each_seed(frame, partial(_largest, of=of)), bound, 0.0)
        for of in distances.values()
    ]
    told = "; ".join(
        f"{name}: largest distance {condition.mean.written('.3g')}, in the mean of all runs "
        f"{curve.abs().max():.3g} at epoch {curve.abs().idxmax()}"
        for (name, curve), condition in zip(found.items(), conditions, strict=True)
    )
    return judge(
        text,
        source,
        conditions,
        f"{told}. Rule: {INTERVAL} of the largest distance over the epochs below {bound:g}.",
        runs=frame["run_id"].nunique(),
    )


def _from_one(name: str) -> Distance:
    return lambda own: mean_curve(own, name) - 1


def _apart(name: str, other: str) -> Distance:
    return lambda own: (mean_curve(own, name) - mean_curve(own, other)).dropna()


def _largest(own: DataFrame, of: Distance) -> float:
    curve = of(own)
    return float(curve.abs().max()) if len(curve) else math.nan
