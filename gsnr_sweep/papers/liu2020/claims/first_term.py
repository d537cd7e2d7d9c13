"""The claim behind Fig. 7: the first term of eq. (28) decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gsnr_sweep.analysis.claim import Claim
from gsnr_sweep.analysis.curves import early, mean_curve, read_by_seed, too_short
from gsnr_sweep.analysis.rule import Condition, judge
from gsnr_sweep.analysis.seed_means import INTERVAL

if TYPE_CHECKING:
    from gsnr_sweep.analysis.analysis import Analysis

SOURCE = "3.3 and B, eqs. (28) and (34)"
DOMINATES, CLEARLY = 0.75, 0.85
"""Share of the signs from which the term dominates, and one that the rule should find."""


def first_term_claims(analysis: Analysis) -> list[Claim]:
    """Judge whether the first term dominates in sign, for each kind of initial weights.

    The paper argues it and shows no number. Holds if early in training Δg has the term's sign for
    more than 75 % of the weights, mean over the layers and the seeds.
    """
    claims = []
    for init, own in analysis.frame.groupby("init", sort=False):
        text = f"Initial weights '{init}': the first term of eq. (28) dominates the sign of Δg."
        sign = mean_curve(own, "first_term_same_sign")
        corr, size = mean_curve(own, "first_term_corr"), mean_curve(own, "first_term_size")
        if sign.empty or corr.empty or size.empty:
            claims.append(too_short(text, SOURCE, "first_term_same_sign"))
            continue
        shares = read_by_seed(own, "first_term_same_sign", lambda c: early(c).mean(), fewest=1)
        share = Condition(shares, DOMINATES, CLEARLY)
        claims.append(
            judge(
                text,
                SOURCE,
                [share],
                f"same sign for {sign.iloc[0]:.1%} of the weights at epoch {sign.index[0]}, early "
                f"mean {share.mean.written('.1%')}, {sign.iloc[-1]:.1%} at the end; correlation "
                f"with Δg {corr.iloc[0]:+.2f} at first, {corr.iloc[-1]:+.2f} at the end; Σ|term| / "
                f"Σ|Δg| {size.iloc[0]:.2f} at first. Rule: {INTERVAL} of the early mean above "
                f"{DOMINATES:.0%}.",
                runs=own["run_id"].nunique(),
            )
        )
    return claims
