"""Claims about both sides of eq. (19): Figs. 4, 9 and 11."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from gsnr_sweep.analysis.claim import UNCLEAR, Claim
from gsnr_sweep.analysis.curves import mean_curve
from gsnr_sweep.analysis.rule import Condition, judge
from gsnr_sweep.analysis.seed_means import INTERVAL, each_seed, seed_mean
from gsnr_sweep.wording import describe_epoch

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from gsnr_sweep.analysis.analysis import Analysis

CLOSE = 0.1
"""Distance |LHS − RHS| below which a point lies on the diagonal: a tenth of the range of R."""
STRONG, STRONGER = 0.7, 0.9
"""Pearson coefficient from which a correlation is called strong, and one that should be found."""
WORTH_FINDING = 0.1
"""Growth of LHS − RHS that should be found."""
RISES = 0.5
"""Rank correlation of LHS with n that should be found."""
SLOW, NEARLY_ALL = 0.1, 0.8
FEWEST = 4
"""Points of a seed from which they have a correlation."""
_PERFECT = 1 - 1e-12  # rounding leaves c of points on a line there, and z finite
WITH_BATCH_NORM = "fig9_cifar10"


def lhs_rhs_claims(analysis: Analysis) -> list[Claim]:
    """Judge what 2.4, A.2 and A.3 say of LHS and RHS."""
    frame = analysis.aligned
    if not {"osgr_lhs", "osgr_rhs", "osgr_diff", "osgr_diff_se"} <= set(frame):
        return []
    known = frame.dropna(subset=["osgr_lhs", "osgr_rhs"])
    if known.empty:
        return []
    start = leaves_diagonal if analysis.preset.name == WITH_BATCH_NORM else on_diagonal
    claims = [
        start(known),
        strongly_correlated(known),
        until_convergence(known),
        falls_below(known),
    ]
    if frame["n"].nunique() > 1:
        claims.append(more_data(known))
    return claims


def excess(rows: DataFrame) -> float:
    """Return the mean of (LHS − RHS)² less its error's variance: the squared distance itself."""
    square = rows["osgr_diff"] ** 2 - rows["osgr_diff_se"] ** 2
    return float(square[np.isfinite(square)].mean())


def on_diagonal(known: DataFrame) -> Claim:
    """Holds if at the first measured epoch LHS and RHS are less than 0.1 apart, root mean square.

    The squares of the points' own errors are taken off, so that noise is no distance.
    """
    first = _at(known, _epochs(known)[0])
    distance = Condition(each_seed(first, excess), CLOSE**2, 0.0, "LHS = RHS")
    return judge(
        "At the beginning of training the points lie on LHS = RHS.",
        "2.4, Fig. 4",
        [distance],
        f"{_distance(first, distance)} Rule: {INTERVAL} of its square below {CLOSE}².",
        runs=len(first),
    )


def leaves_diagonal(known: DataFrame) -> Claim:
    """Holds if at the first epoch after the start LHS and RHS are more than 0.1 apart.

    The paper explains it by the statistics of batch normalization, which eq. (19) does not know.
    """
    text = "With batch normalization the points leave LHS = RHS early."
    later = [epoch for epoch in _epochs(known) if epoch > 0]
    if not later:
        return Claim(text, "A.2, Fig. 9", UNCLEAR, "Nothing was measured after the start.")
    first = _at(known, later[0])
    far = f"a distance of {2 * CLOSE:g}"
    distance = Condition(each_seed(first, excess), CLOSE**2, (2 * CLOSE) ** 2, far)
    return judge(
        text,
        "A.2, Fig. 9",
        [distance],
        f"{_distance(first, distance)} Rule: {INTERVAL} of its square above {CLOSE}².",
        runs=len(first),
    )


def _distance(rows: DataFrame, squared: Condition) -> str:
    if not squared.mean.seeds:
        return "No point has a standard error (a single training set each)."
    difference = each_seed(rows, lambda own: float(own["osgr_diff"].mean()))
    root = math.sqrt(max(squared.mean.mean, 0.0))
    return (
        f"epoch {describe_epoch(rows['epoch'].iloc[0])}: distance {root:.3f} (square "
        f"{squared.mean}), mean of LHS − RHS {seed_mean(difference)}."
    )


def strongly_correlated(known: DataFrame) -> Claim:
    """Holds if Pearson's c of a seed's points is above 0.7 at every epoch after the start.

    The mean over seeds of Fisher's z of c, against that of 0.7. Does not hold if it is below at
    one epoch.
    """
    found = {epoch: correlated(_at(known, epoch)) for epoch in _epochs(known) if epoch > 0}
    told = "; ".join(_correlation(epoch, one) for epoch, one in found.items())
    return judge(
        "LHS and RHS are strongly correlated.",
        "2.4, Fig. 4",
        list(found.values()),
        f"{told or 'nothing was measured after the start'}. Rule: {INTERVAL} of c above {STRONG} "
        "at every epoch after the start.",
        runs=known["run_id"].nunique(),
        least=FEWEST,
    )


def correlated(rows: DataFrame) -> Condition:
    """Return the condition that Pearson's c is above 0.7, of Fisher's z."""
    z = each_seed(rows, fishers_z)
    return Condition(z, math.atanh(STRONG), math.atanh(STRONGER), f"c = {STRONGER:g}")


def fishers_z(rows: DataFrame) -> float:
    """Return Fisher's z of Pearson's coefficient of some points; NaN of fewer than four."""
    points = rows[["osgr_rhs", "osgr_lhs"]].replace([math.inf, -math.inf], math.nan).dropna()
    if len(points) < FEWEST or (points.nunique() < 2).any():
        return math.nan
    c = float(points["osgr_rhs"].corr(points["osgr_lhs"]))
    return math.atanh(max(-_PERFECT, min(c, _PERFECT)))


def _correlation(epoch: float, z: Condition) -> str:
    mean = z.mean
    if not mean.seeds:
        return f"epoch {describe_epoch(epoch)}: no seed has {FEWEST} different points"
    c, low, high = (math.tanh(value) for value in (mean.mean, mean.low, mean.high))
    interval = f" [{low:.3f}, {high:.3f}]" if mean.seeds > 1 else ""
    return f"epoch {describe_epoch(epoch)}: c = {c:.3f}{interval}"


def until_convergence(known: DataFrame) -> Claim:
    """Judged by Pearson's coefficient at the last epoch, if four of five runs have converged.

    A run has if its training loss is below a tenth of its start, or if it fell and falls, between
    the last two measured epochs, at less than a tenth of its mean rate: where the targets are
    noisy, the loss has a floor far above 0.
    """
    text, source = "The correlation remains high even when training converges.", "2.4, Fig. 4"
    epoch = _epochs(known)[-1]
    losses = mean_curve(known, "train_loss")
    curves = [mean_curve(run, "train_loss") for _, run in known.groupby("run_id")]
    share = sum(has_converged(curve) for curve in curves) / len(curves)
    fall = f"{losses.iloc[0]:.4g} → {losses.iloc[-1]:.4g}" if len(losses) else "not measured"
    told = f"by epoch {describe_epoch(epoch)} {share:.0%} of the runs have converged (mean "
    told += f"training loss {fall})"
    if share < NEARLY_ALL:
        return Claim(text, source, UNCLEAR, f"Not converged: {told}.")
    z = correlated(_at(known, epoch))
    return judge(
        text,
        source,
        [z],
        f"{_correlation(epoch, z)}; {told}. Rule: at least {NEARLY_ALL:.0%} of the runs "
        f"converged, and {INTERVAL} of c above {STRONG}.",
        runs=known["run_id"].nunique(),
        least=FEWEST,
    )


def has_converged(losses: Series[float]) -> bool:
    """Judge by the loss, and by its fall an epoch over the whole training and at its end."""
    if len(losses) < 2:
        return False
    first, last = float(losses.iloc[0]), float(losses.iloc[-1])
    if 0 <= last < 0.1 * first:
        return True
    if not math.isfinite(losses.index[-1]):  # each run ended at an epoch of its own: no rate
        return False
    rate = (first - last) / (losses.index[-1] - losses.index[0])
    latest = (float(losses.iloc[-2]) - last) / (losses.index[-1] - losses.index[-2])
    return rate > 0 and bool(0 <= latest < SLOW * rate)


def falls_below(known: DataFrame) -> Claim:
    """Holds if LHS − RHS grows from the first to the last epoch, mean over a seed's runs."""
    text, source = "As training goes on, RHS falls below LHS.", "2.4 and A.3, Figs. 4 and 11"
    epochs = _epochs(known)
    first, last = epochs[0], epochs[-1]
    if first == last:
        return Claim(text, source, UNCLEAR, "Too few epochs.")
    by_seed = each_seed(known, partial(growth, first=first, last=last))
    grown = Condition(by_seed, 0.0, WORTH_FINDING)
    if not grown.mean.seeds:
        return Claim(text, source, UNCLEAR, "No run has LHS − RHS at the first and the last epoch.")
    ends = {epoch: _at(known, epoch)["osgr_diff"] for epoch in (first, last)}
    told = ", ".join(
        f"mean {values.mean():+.3f} at epoch {describe_epoch(epoch)}"
        for epoch, values in ends.items()
    )
    return judge(
        text,
        source,
        [grown],
        f"LHS − RHS: {told}, growth {grown.mean}; RHS < LHS in {(ends[last] > 0).mean():.0%} of "
        f"the runs at the end. Rule: {INTERVAL} of the growth above 0.",
        runs=known["run_id"].nunique(),
    )


def growth(rows: DataFrame, first: float, last: float) -> float:
    """Return by how much LHS − RHS grows between two epochs; NaN where one was not measured."""
    wide = rows.pivot_table(index="run_id", columns="epoch", values="osgr_diff")
    if not {first, last} <= set(wide.columns):
        return math.nan
    return float((wide[last] - wide[first]).mean())


def more_data(known: DataFrame) -> Claim:
    """Holds if the ranks of n and of LHS are positively correlated among a seed's runs."""
    last = _at(known, _epochs(known)[-1])
    text, source = "Training on more data brings R closer to 1.", "2.3, eq. (22)"

    rho = Condition(each_seed(last, spearman), 0.0, RISES)
    by_n = last.groupby("n")["osgr_lhs"].mean()
    means = ", ".join(f"{value:.3f} (n = {n})" for n, value in by_n.items())
    return judge(
        text,
        source,
        [rho],
        f"mean LHS at the last epoch: {means}; Spearman's coefficient {rho.mean}. Rule: "
        f"{INTERVAL} of it above 0.",
        runs=len(last),
    )


def spearman(rows: DataFrame) -> float:
    """Return the rank correlation of n and LHS; NaN where one does not vary."""
    if (rows[["n", "osgr_lhs"]].nunique() < 2).any():
        return math.nan
    return float(rows["n"].corr(rows["osgr_lhs"], method="spearman"))


def _epochs(known: DataFrame) -> Sequence[float]:
    return sorted(known["epoch"].unique())


def _at(known: DataFrame, epoch: float) -> DataFrame:
    return known[known["epoch"] == epoch]
