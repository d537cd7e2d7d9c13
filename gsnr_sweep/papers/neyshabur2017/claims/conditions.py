"""Claims about the conditions of Theorem 1: Fig. 5."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gsnr_sweep.analysis.claim import Claim
from gsnr_sweep.analysis.rule import Condition, judge
from gsnr_sweep.analysis.seed_means import INTERVAL, each_seed
from gsnr_sweep.papers.neyshabur2017.claims.over_seeds import judge_groups, sentence
from gsnr_sweep.wording import describe_epoch

if TYPE_CHECKING:
    from pandas import DataFrame

    from gsnr_sweep.analysis.analysis import Analysis

SOURCE = "Neyshabur et al. 2017, arXiv version, Fig. 5"
BOUNDS = {
    "c1_inverse_mu": ("C1", "1/μ", 4.0),
    "c2_constant": ("C2", "its constant", 5.0),
    "c3_constant": ("C3", "its constant", 3.0),
}
"""By metric the condition, the constant, and its reported bound.

The bounds are as they are remembered of the arXiv version; they could not be checked against it.
"""


def condition_claims(analysis: Analysis) -> list[Claim]:
    """Judge at every measured epoch that the constants of C1 to C3 are as small as reported."""
    return judge_groups(analysis, analysis.aligned, (), _judge)


def _judge(frame: DataFrame, about: str) -> list[Claim]:
    return [within(frame, column, about) for column in BOUNDS]


def within(frame: DataFrame, column: str, about: str = "") -> Claim:
    """Holds if a seed's largest value is below the bound at every measured epoch."""
    condition, name, bound = BOUNDS[column]
    known = frame.assign(value=frame.get(column, np.nan)).dropna(subset="value")
    by_epoch = known.groupby("epoch")["value"].agg(["min", "max"])
    told = "; ".join(
        f"epoch {describe_epoch(float(epoch))}: {low:.3g} to {high:.3g}"
        for epoch, low, high in by_epoch.itertuples()
    )
    largest = [
        Condition(each_seed(rows, lambda own: float(own["value"].max())), bound, bound / 2)
        for _, rows in known.groupby("epoch")
    ]
    return judge(
        sentence(about, f"{condition} holds before and after training, {name} at most {bound:g}."),
        SOURCE,
        largest if len(by_epoch) > 1 else [],
        f"{name} over the runs: {told or 'not measured'}. Rule: {INTERVAL} of a seed's largest "
        f"value below {bound:g} at every measured epoch.",
        runs=known["run_id"].nunique(),
    )
