"""Claims about samples that agree in the sign of the gradient: Fig. 5c."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gsnr_sweep.analysis.claim import Claim
from gsnr_sweep.analysis.curves import first, is_course, last, mean_curve, read_by_seed, too_short
from gsnr_sweep.analysis.rule import Condition, judge
from gsnr_sweep.analysis.seed_means import INTERVAL

if TYPE_CHECKING:
    from gsnr_sweep.analysis.analysis import Analysis

SOURCE = "3.1, Fig. 5c"
CLEAR, REPORTED = 0.02, 0.06
"""Rise of the share that counts, and the paper's."""


def same_sign_claims(analysis: Analysis) -> list[Claim]:
    """Judge what 3.1 says of p_same_sign, for each model.

    With real labels it holds if the mean share ends more than 0.02 above its start, with random
    ones, where gradients have nothing in common to learn, if it ends by less above it.
    """
    texts = {
        0: "gradients become more consistent in sign (from about 50 % to 56 %).",
        1: "with random labels gradients do not become more consistent in sign.",
    }
    claims = []
    for (model, p_random), own in analysis.frame.groupby(["model", "p_random"], sort=False):
        if p_random not in texts:
            continue
        text = f"{model}: {texts[p_random]}"
        curve = mean_curve(own, "p_same_sign")
        if not is_course(curve):
            claims.append(too_short(text, SOURCE, "p_same_sign"))
            continue
        side, effect = ("below", 0.0) if p_random else ("above", REPORTED)
        rises = read_by_seed(own, "p_same_sign", lambda c: last(c) - first(c))
        rise = Condition(rises, CLEAR, effect)
        claims.append(
            judge(
                text,
                SOURCE,
                [rise],
                f"mean p_same_sign {curve.iloc[0]:.1%} at epoch {curve.index[0]}, lowest "
                f"{curve.min():.1%} at epoch {curve.idxmin()}, highest {curve.max():.1%} at epoch "
                f"{curve.idxmax()}, {curve.iloc[-1]:.1%} at the end; rise "
                f"{rise.mean.written('+.1%')}. Rule: {INTERVAL} of the rise {side} {CLEAR:.0%}.",
                runs=own["run_id"].nunique(),
            )
        )
    return claims
