"""The analysis of a sweep: its table and all that is computed of it, each thing once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from gsnr_sweep.analysis.axes import swept_axes
from gsnr_sweep.wording import Step

if TYPE_CHECKING:
    from pandas import DataFrame

    from gsnr_sweep.analysis.preset import Preset
    from gsnr_sweep.analysis.ranking import Ranking
    from gsnr_sweep.analysis.statistics import PairStatistics
    from gsnr_sweep.analysis.table import SweepTable

DEFAULT_X, DEFAULT_Y = "osgr_rhs", "osgr_lhs"
"""The two sides of eq. (19) of Liu et al. 2020."""


@dataclass(frozen=True)
class Analysis:
    """A sweep's runs as figures, claims, console and page are handed them.

    Attributes:
        table: The runs' measurements.
    """

    table: SweepTable
    _statistics: dict[tuple[str, str], dict[float, PairStatistics]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def frame(self) -> DataFrame:
        """One row a run and epoch, see `SweepTable.frame`."""
        return self.table.frame

    @cached_property
    def aligned(self) -> DataFrame:
        """`frame`, its epochs so that what belongs together has the same.

        Where a stopping rule ends each run at an epoch of its own, their ends are at infinity.
        Where epochs have different numbers of steps, places within one are `Step`.
        """
        from pandas import Series

        frame = self.frame
        places: list[float] = list(frame["epoch"])
        if "step" in frame:
            places = _by_steps(places, list(frame["step"]))
        if "is_end" in frame:
            ends = zip(places, frame["is_end"], strict=True)
            places = [math.inf if is_end else place for place, is_end in ends]
        if places == list(frame["epoch"]):
            return frame
        kind = object if any(isinstance(place, Step) for place in places) else float
        return frame.assign(epoch=Series(places, index=frame.index, dtype=kind))

    @property
    def arrays(self) -> DataFrame:
        """One row a run, epoch, array and place, see `SweepTable.arrays`."""
        return self.table.arrays

    @property
    def preset(self) -> Preset:
        """What the sweep was launched as."""
        return self.table.preset

    @cached_property
    def axes(self) -> tuple[str, ...]:
        """The settings that were swept: columns of `frame` in which the runs differ."""
        return swept_axes(self.frame, self.table.settings)

    @cached_property
    def features(self) -> DataFrame | None:
        """One row a run and followed weight, see `feature_table`; None if none was followed."""
        from gsnr_sweep.analysis.features import feature_table

        return feature_table(self.table)

    @cached_property
    def ranking(self) -> Ranking:
        """How well each measure orders the networks at the end of training, see `rank_measures`.

        Raises:
            GsnrError: There is nothing to rank.
        """
        from gsnr_sweep.analysis.ranking import rank_measures

        return rank_measures(self)

    def statistics(self, x: str = DEFAULT_X, y: str = DEFAULT_Y) -> dict[float, PairStatistics]:
        """Return how well y follows x over the runs, by epoch of `aligned`.

        Args:
            x: Column of the abscissa.
            y: Column of the ordinate.
        """
        from gsnr_sweep.analysis.statistics import statistics_by_epoch

        if (x, y) not in self._statistics:
            self._statistics[x, y] = statistics_by_epoch(self.aligned, x, y)
        return self._statistics[x, y]


def _by_steps(epochs: Sequence[float], steps: Sequence[float]) -> list[float]:
    """Return the places, those within an epoch as `Step` where epochs differ in their steps."""
    within = [step for epoch, step in zip(epochs, steps, strict=True) if epoch % 1]
    found = {step: {e for e, s in zip(epochs, steps, strict=True) if s == step} for step in within}
    if all(len(there) == 1 for there in found.values()):
        return list(epochs)
    labels = {step: Step(int(step), min(there)) for step, there in found.items()}
    return [labels[step] if epoch % 1 else epoch for epoch, step in zip(epochs, steps, strict=True)]
