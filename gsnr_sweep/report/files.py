"""What an aggregated sweep leaves on disk: its table, its statistics and its figure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gsnr_sweep.analysis.analysis import DEFAULT_X, DEFAULT_Y, Analysis
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.records.atomic import replace_file
from gsnr_sweep.wording import describe_epoch, printable

if TYPE_CHECKING:
    from pandas import DataFrame

    from gsnr_sweep.analysis.statistics import PairStatistics
    from gsnr_sweep.report.drawings import Drawings

TABLE_FILE = "table.csv"


@dataclass(frozen=True)
class View:
    """How the runs of a sweep are looked at.

    Attributes:
        x: Metric on the abscissa.
        y: Metric on the ordinate.
        hue: Setting told apart by colour; by what was swept if None.
        style: Setting told apart by marker; by what was swept if None.
        epochs: Epochs to draw; all if None.
        error_bars: Whether to draw standard errors.
    """

    x: str = DEFAULT_X
    y: str = DEFAULT_Y
    hue: str | None = None
    style: str | None = None
    epochs: Sequence[int] | None = None
    error_bars: bool = False

    @property
    def is_default_pair(self) -> bool:
        """Whether the view compares the two sides of eq. (19)."""
        return (self.x, self.y) == (DEFAULT_X, DEFAULT_Y)

    @property
    def stem(self) -> str:
        """The figure's file name without its ending; it differs from pair to pair."""
        return "lhs_rhs" if self.is_default_pair else file_safe(f"{self.y}_against_{self.x}")


def write_files(
    analysis: Analysis,
    statistics: Mapping[float, PairStatistics],
    view: View,
    output: Path,
    drawings: Drawings,
) -> tuple[Path, ...]:
    """Write all files into `output`, which is made if need be, and return their paths.

    ``table.csv`` and ``table.parquet`` hold the runs' measurements, ``left_out.csv`` the runs that
    did not finish, ``features.csv`` the paper's Table 1 where features were followed, and each
    figure is a PNG and a PDF. If there are statistics of the pair (x, y), ``statistics.csv`` holds
    them by epoch and ``lhs_rhs`` is their figure. For another pair of metrics than that of
    eq. (19), the names of figure and statistics tell the pair.

    Raises:
        GsnrError: The folder cannot be written to, or an epoch to draw was not measured.
    """
    from pandas import DataFrame

    from gsnr_sweep.analysis.statistics import statistics_table
    from gsnr_sweep.papers.liu2020.figures.lhs_rhs import draw_lhs_rhs
    from gsnr_sweep.papers.plotting.panels import save_figure

    figures = dict(drawings.figures)
    tables = {TABLE_FILE: analysis.frame}
    if statistics:
        figures[view.stem] = draw_lhs_rhs(
            analysis.aligned,
            _drawn(statistics, view.epochs),
            x=view.x,
            y=view.y,
            axes=analysis.axes,
            hue=view.hue,
            style=view.style,
            error_bars=view.error_bars,
        )
        suffix = "" if view.is_default_pair else f"_{view.stem}"
        tables[f"statistics{suffix}.csv"] = statistics_table(statistics, view.x, view.y)
    if (features := analysis.features) is not None:
        tables["features.csv"] = features
    left_out = DataFrame(list(analysis.table.left_out), columns=["run_id", "name", "reason"])
    tables["left_out.csv"] = left_out
    try:
        output.mkdir(parents=True, exist_ok=True)
        for name, frame in tables.items():
            replace_file(output / name, partial(safe_cells(frame).to_csv, index=False))
        parquet = partial(analysis.frame.to_parquet, index=False)
        replace_file(output / "table.parquet", parquet)
        saved = [save_figure(figure, output, stem) for stem, figure in figures.items()]
    except OSError as error:
        raise GsnrError(f"The results cannot be written into {output}: {error}") from error
    pictures = [path for paths in saved for path in paths]
    return (*(output / name for name in tables), output / "table.parquet", *pictures)


_FORMULA = re.compile(r"[=+\-@\t\n]")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")


def safe_cells(frame: DataFrame) -> DataFrame:
    """Return a table of which no cell is a formula to the program that opens it.

    Names and errors are anybody's. A text that begins like a formula, and is no number, gets an
    apostrophe before it, which tells such programs that it is a text.
    """
    from pandas import Series

    safe = frame.copy(deep=False)
    for name in frame.columns:
        cells = list(frame[name])
        texts = [_guarded(cell) for cell in cells]
        if texts != cells and any(isinstance(cell, str) for cell in cells):
            safe[name] = Series(texts, frame.index, dtype=object)
    return safe.rename(columns=_guarded)


def _guarded(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    text = printable(cell.replace("\r\n", "\n").replace("\r", "\n"))
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def file_safe(name: str) -> str:
    """Return a name as a file name without blanks and special characters."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "sweep"


def _drawn(
    statistics: Mapping[float, PairStatistics], epochs: Sequence[float] | None
) -> dict[float, PairStatistics]:
    """Return the statistics of the epochs to draw."""
    if epochs is None:
        return dict(statistics)
    there = {describe_epoch(epoch): epoch for epoch in statistics}
    wanted = dict.fromkeys(map(describe_epoch, epochs))
    if missing := [told for told in wanted if told not in there]:
        raise GsnrError(
            f"Nothing was measured at epoch {', '.join(missing)}; "
            f"there is: {', '.join(map(describe_epoch, statistics))}."
        )
    return {epoch: statistics[epoch] for epoch in sorted(there[told] for told in wanted)}
