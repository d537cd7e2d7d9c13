"""The claim behind Fig. 7: the first term of eq. (28) decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gsnr_sweep.analysis.claim import ONE_RUN, Claim, verdict
from gsnr_sweep.analysis.curves import early, mean_curve, too_short

if TYPE_CHECKING:
    from gsnr_sweep.analysis.analysis import Analysis

SOURCE = "3.3 and B, eqs. (28) and (34)"
DOMINATES, CHANCE = 0.75, 0.55


def first_term_claims(analysis: Analysis) -> list[Claim]:
    """Judge whether the first term dominates in sign, for each kind of initial weights.

    The paper argues it and shows no number. Holds if early in training Δg has the term's sign for
    at least 75 % of the weights, mean over the layers; does not hold up to 55 %.
    """
    claims = []
    for init, own in analysis.frame.groupby("init", sort=False):
        text = f"Initial weights '{init}': the first term of eq. (28) dominates the sign of Δg."
        sign = mean_curve(own, "first_term_same_sign")
        corr, size = mean_curve(own, "first_term_corr"), mean_curve(own, "first_term_size")
        if sign.empty or corr.empty or size.empty:
            claims.append(too_short(text, SOURCE, "first_term_same_sign"))
            continue
        value = float(early(sign).mean())
        claims.append(
            Claim(
                text,
                SOURCE,
                verdict(value >= DOMINATES, value <= CHANCE),
                f"same sign for {sign.iloc[0]:.1%} of the weights at epoch {sign.index[0]}, early "
                f"mean {value:.1%}, {sign.iloc[-1]:.1%} at the end; correlation with Δg "
                f"{corr.iloc[0]:+.2f} at first, {corr.iloc[-1]:+.2f} at the end; Σ|term| / Σ|Δg| "
                f"{size.iloc[0]:.2f} at first. Rule: early mean ≥ {DOMINATES:.0%}.",
                runs=own["run_id"].nunique(),
                least=ONE_RUN,
            )
        )
    return claims
