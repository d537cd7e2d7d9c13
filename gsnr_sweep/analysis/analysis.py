"""The analysis of a sweep: its table and all that is computed of it, each thing once."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from gsnr_sweep.analysis.axes import swept_axes

if TYPE_CHECKING:
    from pandas import DataFrame

    from gsnr_sweep.analysis.preset import Preset
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
        """`frame`, with the ends of trainings that were to stop at one epoch, infinity.

        Where a stopping rule ends each run at an epoch of its own, their ends belong together.
        """
        frame = self.frame
        if "is_end" not in frame:
            return frame
        return frame.assign(epoch=frame["epoch"].astype(float).where(~frame["is_end"], math.inf))

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
