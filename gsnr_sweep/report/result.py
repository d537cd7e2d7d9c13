"""What aggregating a sweep yields."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gsnr_sweep.analysis.analysis import Analysis
    from gsnr_sweep.analysis.ranking import Ranking
    from gsnr_sweep.analysis.statistics import PairStatistics
    from gsnr_sweep.analysis.table import SweepTable
    from gsnr_sweep.papers import Claim


@dataclass(frozen=True)
class AggregateResult:
    """What came out of a sweep.

    Attributes:
        analysis: The runs, and what was computed of them.
        statistics: Statistics of the pair (x, y) by epoch.
        files: The files written.
        claims: What the paper says of such runs, judged by them.
        problems: Why figures that were asked for are not drawn.
        logged: Whether files and statistics are now with the sweep's parent run.
        log_problem: Why they are not although they should be; empty otherwise.
        ranking: Which measure predicts generalization; None if there is nothing to rank.
    """

    analysis: Analysis
    statistics: dict[float, PairStatistics]
    files: tuple[Path, ...]
    claims: tuple[Claim, ...]
    problems: tuple[str, ...]
    logged: bool
    log_problem: str = ""
    ranking: Ranking | None = None

    @property
    def table(self) -> SweepTable:
        """The runs' measurements, and the runs left out."""
        return self.analysis.table
