"""A sweep as Python code handles it: its table, records, figures and page."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gsnr_sweep.analysis.analysis import DEFAULT_X, DEFAULT_Y, Analysis
from gsnr_sweep.analysis.preset import LHS_RHS
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.from_python.environment import environment_kept

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

    from gsnr_sweep.analysis.statistics import PairStatistics
    from gsnr_sweep.analysis.table import LeftOut
    from gsnr_sweep.records.record import RunRecord


@dataclass(frozen=True)
class Sweep:
    """A sweep as it was when it was read; `gsnr_sweep.load` reads it anew.

    Attributes:
        folder: The sweep's folder; None if it was read from MLflow alone.
        analysis: Its runs, as figures and claims of your own are handed them.
        tracking_uri: The store that it was looked up in; None for the default one.
    """

    folder: Path | None
    analysis: Analysis
    tracking_uri: str | None = None

    @property
    def name(self) -> str:
        """The sweep's name, as MLflow shows it."""
        return self.analysis.table.name

    @property
    def mlflow_run_id(self) -> str | None:
        """Id of the sweep's own run in MLflow; None if it has none."""
        return self.analysis.table.parent_id

    @property
    def table(self) -> DataFrame:
        """One row a finished run and measured epoch; its columns: docs/files.md, ``table.csv``."""
        return self.analysis.frame

    @property
    def runs(self) -> tuple[RunRecord, ...]:
        """The records of the finished runs, in the grid's order (from MLflow: oldest first)."""
        return tuple(record for _, record in self.analysis.table.records)

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """The runs that did not finish, and why."""
        return self.analysis.table.left_out

    def statistics(self, x: str = DEFAULT_X, y: str = DEFAULT_Y) -> dict[float, PairStatistics]:
        """Return how well metric y follows metric x over the runs, by epoch."""
        self._refuse_to_go_without_runs()
        for name in (x, y):
            if name not in self.analysis.table.metrics:
                known = ", ".join(self.analysis.table.metrics)
                raise GsnrError(f"The runs have no metric {name!r}. There is: {known}.")
        return self.analysis.statistics(x, y)

    def figure(self, name: str = LHS_RHS) -> Figure:
        """Draw a figure of the sweep's runs.

        Args:
            name: One of the paper's figures (``lhs_rhs``: both sides of eq. (19), the paper's
                Fig. 4), or the dotted path of a function of your own.

        Returns:
            The figure, which belongs to no window: a notebook shows it after
            ``%matplotlib inline``, ``savefig`` writes it.

        Raises:
            GsnrError: There is no such figure, no run finished, or the runs did not measure what
                it shows.
        """
        from gsnr_sweep.papers.liu2020.figures.lhs_rhs import draw_lhs_rhs
        from gsnr_sweep.papers.registry import draw

        self._refuse_to_go_without_runs()
        if name != LHS_RHS:
            return draw(name, self.analysis)
        return draw_lhs_rhs(self.analysis.aligned, self.statistics(), axes=self.analysis.axes)

    def report(self, path: str | Path | None = None) -> Path:
        """Write one HTML page on the sweep, as ``gsnr-sweep report`` does, and return its path.

        Args:
            path: The file; ``report.html`` in the sweep's folder if None.

        Raises:
            GsnrError: The sweep is not to be found any more, or the file cannot be written.
        """
        from gsnr_sweep.cli.commands.report import report_command
        from gsnr_sweep.report.publish import REPORT_FILE
        from gsnr_sweep.terminal import TextConsole

        wanted = str(self.folder or self.mlflow_run_id or self.name)
        output = Path(path) if path is not None else (self.folder or Path.cwd()) / REPORT_FILE
        quiet = TextConsole(file=io.StringIO())
        with environment_kept():
            report_command([wanted], Path.cwd(), self.tracking_uri, output, quiet)
        return output

    def __repr__(self) -> str:
        return f"Sweep({self.name!r}, {len(self.runs)} runs, folder={str(self.folder)!r})"

    def _refuse_to_go_without_runs(self) -> None:
        if not self.runs:
            reasons = "; ".join(map(str, self.left_out[:3])) or "it has no runs"
            raise GsnrError(
                f"No run of {self.name} has finished yet ({reasons}). Read it again later: "
                "gsnr_sweep.load."
            )
