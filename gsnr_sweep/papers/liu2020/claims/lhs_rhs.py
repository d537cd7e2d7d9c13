"""Claims about both sides of eq. (19): Figs. 4, 9 and 11."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from scipy import stats

from gsnr_sweep.analysis.axes import seed_numbers
from gsnr_sweep.analysis.claim import UNCLEAR, Claim, verdict
from gsnr_sweep.analysis.curves import mean_curve
from gsnr_sweep.analysis.statistics import (
    CONFIDENCE,
    PairStatistics,
    pair_statistics,
)
from gsnr_sweep.wording import describe_epoch

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from gsnr_sweep.analysis.analysis import Analysis

STRONG = 0.7
"""Pearson coefficient from which a correlation is called strong."""
MOST, FEW = 0.85, 0.7
"""Shares of points within their error: 0.95 is expected if both sides are equal."""
SLOW = 0.1
FEWEST = 4
"""Points from which a correlation has an interval."""
WITH_BATCH_NORM = "fig9_cifar10"


def lhs_rhs_claims(analysis: Analysis) -> list[Claim]:
    """Judge what 2.4, A.2 and A.3 say of LHS and RHS."""
    frame = analysis.frame
    if not {"osgr_lhs", "osgr_rhs", "osgr_diff", "osgr_diff_se"} <= set(frame):
        return []
    by_epoch = analysis.statistics()
    if not by_epoch:
        return []
    start = leaves_diagonal if analysis.preset.name == WITH_BATCH_NORM else on_diagonal
    claims = [
        start(by_epoch),
        strongly_correlated(by_epoch),
        until_convergence(by_epoch, analysis.aligned),
        falls_below(analysis.aligned),
    ]
    if frame["n"].nunique() > 1:
        claims.append(more_data(analysis.aligned))
    return claims


def on_diagonal(by_epoch: Mapping[float, PairStatistics]) -> Claim:
    """Holds if at the first measured epoch at least 85 % of the points are within their error.

    Does not hold below 70 %; 95 % would be expected if both sides were equal, see `PairStatistics`.
    """
    epoch, first = next(iter(by_epoch.items()))
    share = first.within_error
    return Claim(
        "At the beginning of training the points lie on LHS = RHS.",
        "2.4, Fig. 4",
        verdict(share >= MOST, share < FEW),
        f"epoch {describe_epoch(epoch)}: {_within(first)}{_mean(first)}. "
        f"Rule: ≥ {MOST:.0%} of the points within their error (95 % expected if equal).",
        runs=first.compared,
        least=FEWEST,
    )


def leaves_diagonal(by_epoch: Mapping[float, PairStatistics]) -> Claim:
    """Holds if at the first epoch after the start fewer than 70 % of the points are within error.

    The paper explains it by the statistics of batch normalization, which eq. (19) does not know.
    """
    text = "With batch normalization the points leave LHS = RHS early."
    later = {epoch: one for epoch, one in by_epoch.items() if epoch > 0}
    if not later:
        return Claim(text, "A.2, Fig. 9", UNCLEAR, "Nothing was measured after the start.")
    epoch, first = next(iter(later.items()))
    share = first.within_error
    return Claim(
        text,
        "A.2, Fig. 9",
        verdict(share < FEW, share >= MOST),
        f"epoch {describe_epoch(epoch)}: {_within(first)}{_mean(first)}. "
        f"Rule: < {FEW:.0%} of the points within their error.",
        runs=first.compared,
        least=FEWEST,
    )


def strongly_correlated(by_epoch: Mapping[float, PairStatistics]) -> Claim:
    """Holds if Pearson's 95 % interval is above 0.7 at every epoch after the start.

    Does not hold if it is below 0.7 at one; otherwise the points are too few to tell.
    """
    known = {e: s for e, s in by_epoch.items() if e > 0 and not math.isnan(s.pearson_low)}
    told = "; ".join(_correlated(epoch, s) for epoch, s in known.items())
    return Claim(
        "LHS and RHS are strongly correlated.",
        "2.4, Fig. 4",
        verdict(
            bool(known) and all(s.pearson_low >= STRONG for s in known.values()),
            any(s.pearson_high < STRONG for s in known.values()),
        ),
        f"{told or 'too few points'}. Rule: the 95 % interval of c above {STRONG} at every epoch "
        "after the start.",
        runs=max((s.points for s in by_epoch.values()), default=0),
        least=FEWEST,
    )


def _correlated(epoch: float, s: PairStatistics) -> str:
    interval = f"[{s.pearson_low:.3f}, {s.pearson_high:.3f}]"
    return f"epoch {describe_epoch(epoch)}: c = {s.pearson:.3f} {interval}"


def until_convergence(by_epoch: Mapping[float, PairStatistics], frame: DataFrame) -> Claim:
    """Judged by Pearson's coefficient at the last epoch, if the runs have converged by then.

    They have if the mean training loss is below a tenth of its start, or if it fell by a fifth and
    falls, between the last two measured epochs, at less than a tenth of its mean rate.
    """
    epoch, last = list(by_epoch.items())[-1]
    losses = mean_curve(frame, "train_loss")
    text = "The correlation remains high even when training converges."
    if not _has_converged(losses):
        told = f"{losses.iloc[0]:.4g} → {losses.iloc[-1]:.4g}" if len(losses) else "not measured"
        evidence = f"Not converged by epoch {describe_epoch(epoch)}: mean training loss {told}."
        return Claim(text, "2.4, Fig. 4", UNCLEAR, evidence)
    if math.isnan(last.pearson_low):
        return Claim(text, "2.4, Fig. 4", UNCLEAR, "", last.points, FEWEST)
    return Claim(
        text,
        "2.4, Fig. 4",
        verdict(last.pearson_low >= STRONG, last.pearson_high < STRONG),
        f"{_correlated(epoch, last)}; "
        f"mean training loss {losses.iloc[0]:.4g} → {losses.iloc[-1]:.4g}. Rule: the 95 % interval "
        f"of c above {STRONG}.",
        runs=last.points,
        least=FEWEST,
    )


def _has_converged(losses: Series[float]) -> bool:
    """Judge by the rate of the fall an epoch, over the whole training and over its last stretch."""
    if len(losses) < 2:
        return False
    first, last = float(losses.iloc[0]), float(losses.iloc[-1])
    if 0 <= last < 0.1 * first:
        return True
    if not math.isfinite(losses.index[-1]):  # each run ended at an epoch of its own: no rate
        return False
    rate = (first - last) / (losses.index[-1] - losses.index[0])
    latest = (float(losses.iloc[-2]) - last) / (losses.index[-1] - losses.index[-2])
    return first - last > 0.2 * first and 0 <= latest < SLOW * rate


def falls_below(frame: DataFrame) -> Claim:
    """Holds if LHS − RHS grows from the first to the last epoch: 95 % interval of the mean above 0.

    With several seeds the interval is over their means. With one it is over the runs, which share
    training images and the test set, so that it is too narrow.
    """
    text, source = "As training goes on, RHS falls below LHS.", "2.4 and A.3, Figs. 4 and 11"
    wide = frame.pivot_table(index="run_id", columns="epoch", values="osgr_diff")
    if wide.shape[1] < 2:
        return Claim(text, source, UNCLEAR, "Too few epochs.")
    first, last = wide.columns.min(), wide.columns.max()
    wide = wide.dropna(subset=[first, last])
    growth = wide[last] - wide[first]
    if len(growth) < FEWEST:
        return Claim(text, source, UNCLEAR, "", len(growth), FEWEST)
    draws, over = _independent(growth, frame)
    low, high = stats.t.interval(
        CONFIDENCE,
        len(draws) - 1,
        draws.mean(),
        max(float(draws.std()), 1e-300) / len(draws) ** 0.5,
    )
    below = float((wide[last].dropna() > 0).mean())
    start, end = (describe_epoch(float(epoch)) for epoch in (first, last))
    return Claim(
        text,
        source,
        verdict(low > 0, high < 0),
        f"LHS − RHS: mean {wide[first].mean():+.3f} at epoch {start}, {wide[last].mean():+.3f} at "
        f"epoch {end}, growth {draws.mean():+.3f} [{low:+.3f}, {high:+.3f}] over {over}"
        f"; RHS < LHS in {below:.0%} of them at the end. Rule: the growth's 95 % interval "
        "above 0.",
        runs=len(growth),
        least=FEWEST,
    )


def _independent(growth: Series[float], frame: DataFrame) -> tuple[Series[float], str]:
    """Return the seeds' means, or with one seed the runs' values, and what they are in words."""
    runs = f"{len(growth)} runs"
    by_run = frame.drop_duplicates("run_id").set_index("run_id").loc[growth.index]
    seeds = seed_numbers(by_run)
    if (count := len(set(seeds))) > 1:
        return growth.groupby(seeds).mean(), f"{count} seeds of {runs}"
    return growth, f"{runs} of one seed"


def more_data(frame: DataFrame) -> Claim:
    """Holds if the ranks of n and of LHS are positively correlated: 95 % interval above 0."""
    known = frame.dropna(subset="osgr_lhs")
    last = known[known["epoch"] == known["epoch"].max()]
    text, source = "Training on more data brings R closer to 1.", "2.3, eq. (22)"
    if last["n"].nunique() < 2 or last["osgr_lhs"].nunique() < 2:
        return Claim(text, source, UNCLEAR, "Too few values of n, or the same LHS everywhere.")
    both = (last["n"].to_numpy(), last["osgr_lhs"].to_numpy())
    found = pair_statistics(*both, seeds=seed_numbers(last))
    by_n = last.groupby("n")["osgr_lhs"].mean()
    means = ", ".join(f"{value:.3f} (n = {n})" for n, value in by_n.items())
    low, high = found.spearman_low, found.spearman_high
    return Claim(
        text,
        source,
        verdict(low > 0, high < 0),
        f"mean LHS at the last epoch: {means}; Spearman {found.spearman:.2f} [{low:.2f}, "
        f"{high:.2f}]. Rule: interval above 0.",
        runs=len(last),
        least=FEWEST,
    )


def _mean(found: PairStatistics) -> str:
    if not math.isfinite(found.mean_difference):
        return ""
    told = f"; mean of LHS − RHS {found.mean_difference:+.3f}"
    if math.isnan(found.mean_difference_p):
        return told
    low, high = found.mean_difference_low, found.mean_difference_high
    return f"{told} [{low:+.3f}, {high:+.3f}], p = {found.mean_difference_p:.2g} over seeds"


def _within(found: PairStatistics) -> str:
    if not found.points:
        return "no point with both sides"
    if not found.compared:
        return "no point has a standard error (a single training set each)"
    inside = round(found.within_error * found.compared)
    return f"{inside} of {found.compared} points within their error of LHS = RHS"
