"""Which claims a sweep can be asked about."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gsnr_sweep.analysis.claim import Claim
from gsnr_sweep.papers.liu2020.claims.first_term import first_term_claims
from gsnr_sweep.papers.liu2020.claims.frozen import frozen_claims
from gsnr_sweep.papers.liu2020.claims.gsnr_curves import gsnr_curve_claims
from gsnr_sweep.papers.liu2020.claims.lhs_rhs import lhs_rhs_claims
from gsnr_sweep.papers.liu2020.claims.same_sign import same_sign_claims
from gsnr_sweep.papers.liu2020.claims.weight_gradient import weight_gradient_claims

if TYPE_CHECKING:
    from gsnr_sweep.analysis.analysis import Analysis

BY_FIGURE: dict[str, Callable[[Analysis], list[Claim]]] = {
    "lhs_rhs": lhs_rhs_claims,
    "gsnr_curves": gsnr_curve_claims,
    "same_sign": same_sign_claims,
    "frozen": frozen_claims,
    "weight_gradient": weight_gradient_claims,
    "first_term": first_term_claims,
}


def judge(analysis: Analysis) -> tuple[Claim, ...]:
    """Judge the claims that belong to the sweep's experiment; none if it is no paper's.

    Args:
        analysis: The sweep's runs; their ``preset`` says which figures it is for.
    """
    if not analysis.preset.name or analysis.frame.empty:
        return ()
    asked = [BY_FIGURE[name] for name in analysis.preset.figures if name in BY_FIGURE]
    return tuple(claim for claims in asked for claim in claims(analysis))
