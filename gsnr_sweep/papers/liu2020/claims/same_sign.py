"""Claims about samples that agree in the sign of the gradient: Fig. 5c."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gsnr_sweep.analysis.claim import ONE_RUN, Claim, verdict
from gsnr_sweep.analysis.curves import is_course, mean_curve, too_short

if TYPE_CHECKING:
    from gsnr_sweep.analysis.analysis import Analysis

SOURCE = "3.1, Fig. 5c"
CLEAR = 0.02
"""Rise of the share that counts; the paper's is 0.06."""


def same_sign_claims(analysis: Analysis) -> list[Claim]:
    """Judge what 3.1 says of p_same_sign, for each model.

    Holds if the mean share with real labels ends at least 0.02 above its start; does not hold if it
    ends below it.
    """
    claims = []
    real = analysis.frame[analysis.frame["p_random"] == 0]
    for model, own in real.groupby("model", sort=False):
        text = f"{model}: gradients become more consistent in sign (from about 50 % to 56 %)."
        curve = mean_curve(own, "p_same_sign")
        if not is_course(curve):
            claims.append(too_short(text, SOURCE, "p_same_sign"))
            continue
        rise = float(curve.iloc[-1] - curve.iloc[0])
        claims.append(
            Claim(
                text,
                SOURCE,
                verdict(rise >= CLEAR, rise <= 0),
                f"mean p_same_sign {curve.iloc[0]:.1%} at epoch {curve.index[0]}, lowest "
                f"{curve.min():.1%} at epoch {curve.idxmin()}, highest {curve.max():.1%} at epoch "
                f"{curve.idxmax()}, {curve.iloc[-1]:.1%} at the end. Rule: end at least "
                f"{CLEAR:.0%} above the start.",
                runs=own["run_id"].nunique(),
                least=ONE_RUN,
            )
        )
    return claims
