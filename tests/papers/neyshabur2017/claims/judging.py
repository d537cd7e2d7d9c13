"""Claims of made-up runs, found by a word of their text."""

from collections.abc import Sequence

from gsnr_sweep.analysis.claim import Claim
from gsnr_sweep.papers.registry import judge
from gsnr_sweep.records.record import RunRecord
from tests.tables import make_analysis


def judged(figure: str, runs: Sequence[RunRecord]) -> tuple[Claim, ...]:
    """The claims of a figure, judged as at a sweep's end."""
    return judge(make_analysis(*runs, figures=[figure]))


def claim(figure: str, runs: Sequence[RunRecord], *words: str) -> Claim:
    """The one claim whose text has all these words."""
    (found,) = [c for c in judged(figure, runs) if all(word in c.text for word in words)]
    return found
