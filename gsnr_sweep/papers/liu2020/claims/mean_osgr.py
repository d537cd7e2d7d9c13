"""Claims about the one-step generalization ratio over a whole training: 2.2 and Fig. 2."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from gsnr_sweep.analysis.claim import Claim
from gsnr_sweep.analysis.curves import is_course, mean_curve
from gsnr_sweep.analysis.rule import Condition, judge
from gsnr_sweep.analysis.seed_means import INTERVAL, each_seed

if TYPE_CHECKING:
    from pandas import DataFrame

    from gsnr_sweep.analysis.analysis import Analysis

SOURCE = "2.2, Fig. 2"
FEWEST = 4
"""Runs of a seed from which they have a rank correlation."""
FALLS = -0.5
"""Rank correlation that the rule should find."""
HALF, MOST = 0.5, 0.8
"""Share of the points that "most commonly" asks for, and one that should be found."""


def mean_osgr_claims(analysis: Analysis) -> list[Claim]:
    """Judge what 2.2 says of R over training; of a sweep that measured no gap, nothing."""
    frame = analysis.aligned
    if not {"osgr_lhs", "train_loss", "gen_gap"} <= set(frame):
        return []
    return [between_0_and_1(frame), small_gap(frame)]


def between_0_and_1(frame: DataFrame) -> Claim:
    """Holds if R is between 0 and 1 at more than half of a seed's points."""
    known = frame.dropna(subset="osgr_lhs")
    inside = (known["osgr_lhs"] > 0) & (known["osgr_lhs"] < 1)
    share = Condition(
        each_seed(known.assign(inside=inside), lambda own: float(own["inside"].mean())), HALF, MOST
    )
    return judge(
        "Statistically the training loss falls faster than the test loss: most commonly 0 < R < 1.",
        SOURCE,
        [share],
        f"{inside.sum()} of {len(known)} points (runs and epochs), share of a seed's "
        f"{share.mean.written('.0%')}. Rule: {INTERVAL} of the share above {HALF:.0%}.",
        runs=known["run_id"].nunique(),
    )


def small_gap(frame: DataFrame) -> Claim:
    """Holds if among a seed's runs those of larger mean R have the smaller gap at the end.

    The mean over training of R, weighted by the training loss's decrease between measured epochs,
    against the growth of the generalization gap: Spearman's coefficient is below 0.
    """
    rho = Condition(each_seed(frame, rank_correlation), 0.0, FALLS)
    return judge(
        "A large R in the whole training means a small generalization gap at its end.",
        SOURCE,
        [rho],
        "Spearman's coefficient of the mean R, weighted by the decrease of the training loss, with "
        f"the growth of the gap, over the runs of a seed: {rho.mean}. Rule: {INTERVAL} below 0.",
        runs=frame["run_id"].nunique(),
        least=FEWEST,
    )


def rank_correlation(own: DataFrame) -> float:
    """Return Spearman's coefficient over runs of mean R and the gap's growth; NaN of too few."""
    from pandas import DataFrame

    pairs = [_course(run) for _, run in own.groupby("run_id")]
    points = DataFrame(pairs, columns=["ratio", "gap"]).dropna()
    if len(points) < FEWEST or (points.nunique() < 2).any():
        return math.nan
    return float(points["ratio"].corr(points["gap"], method="spearman"))


def _course(run: DataFrame) -> tuple[float, float]:
    """Return a run's weighted mean of R, by trapezoids, and how much its gap grew."""
    curves = [mean_curve(run, name) for name in ("osgr_lhs", "train_loss", "gen_gap")]
    ratio, loss, gap = curves
    if not is_course(*curves) or not ratio.index.equals(loss.index):
        return math.nan, math.nan
    fall = float(loss.iloc[0] - loss.iloc[-1])
    carried = sum((loss[a] - loss[b]) * (ratio[a] + ratio[b]) / 2 for a, b in pairwise(loss.index))
    return (float(carried) / fall if fall > 0 else math.nan), float(gap.iloc[-1] - gap.iloc[0])
