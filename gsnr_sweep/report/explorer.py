"""The points of a sweep that a reader explores on the page."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from gsnr_sweep.analysis.analysis import DEFAULT_X, DEFAULT_Y
from gsnr_sweep.analysis.preset import LHS_RHS
from gsnr_sweep.report.run_links import RunLinks
from gsnr_sweep.wording import describe_epoch, printable

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from gsnr_sweep.analysis.analysis import Analysis
    from gsnr_sweep.analysis.ranking import Ranking

MOST_ROWS = 20_000
MOST_VALUES = 1_000_000
"""Numbers on a page, which are some 8 MB; a table of many columns has fewer rows there."""
DIGITS = 6
"""Significant digits: more than a screen shows; the exact numbers are in the sweep's table."""

Value = float | str | None


@dataclass(frozen=True)
class Column:
    """A column of the points.

    Attributes:
        name: Its heading.
        group: What it is: ``settings``, ``metrics`` or ``progress``.
        number: Whether it can be an axis of the plot.
        values: One a row; None where a run lacks it.
    """

    name: str
    group: str
    number: bool
    values: Sequence[Value]


@dataclass(frozen=True)
class Start:
    """What is shown first.

    Attributes:
        x: Place of the column on the abscissa.
        y: Place of the column on the ordinate.
        color: Place of the column told apart by colour; None for none.
        diagonal: Whether x and y estimate the same, so that the line y = x says something.
    """

    x: int
    y: int
    color: int | None
    diagonal: bool


@dataclass(frozen=True)
class Explorer:
    """A sweep's points.

    Attributes:
        ids: The runs' ids in MLflow, empty of those that are not there.
        names: Their names.
        run: Of each point its run, by place.
        epoch: Of each point its epoch, by place.
        epochs: What the epochs are called.
        columns: Settings and metrics.
        axes: Places of the columns that were swept.
        start: What is shown first.
        links: Where the runs are found.
        left_out: What of the table is not on the page; empty if all is.
    """

    ids: Sequence[str]
    names: Sequence[str]
    run: Sequence[int]
    epoch: Sequence[int]
    epochs: Sequence[str]
    columns: Sequence[Column]
    axes: Sequence[int]
    start: Start
    links: RunLinks = RunLinks()
    left_out: str = ""

    def json(self) -> str:
        """Return it as JSON that may stand in a page: no ``<`` in it begins or ends an element."""
        text = json.dumps(asdict(self), allow_nan=False, separators=(",", ":"))
        for sign in "<>&":
            text = text.replace(sign, f"\\u{ord(sign):04x}")
        return text


def explorer_of(
    analysis: Analysis, ranking: Ranking | None = None, links: RunLinks | None = None
) -> Explorer | None:
    """Lay out a sweep's table for the page.

    Args:
        analysis: The sweep's runs.
        ranking: Its measures' ranking, whose best is shown first where no side of eq. (19) is.
        links: Where its runs are found.

    Returns:
        The points; None if there are no two columns of numbers to draw.
    """
    whole = analysis.aligned
    names = _columns(analysis)
    frame, left_out = _shown(whole, len(names))
    columns = [_column(frame, analysis.frame, name, group) for name, group in names]
    place = {column.name: index for index, column in enumerate(columns)}
    numbers = [column for column in columns if column.number]
    if len(numbers) < 2:
        return None
    runs = frame.drop_duplicates("run_id")
    known = {run_id: index for index, run_id in enumerate(runs["run_id"])}
    labels = [describe_epoch(epoch) for epoch in frame["epoch"]]
    order = dict.fromkeys(label for _, label in sorted(zip(frame["epoch"], labels, strict=True)))
    epochs = {label: index for index, label in enumerate(order)}
    # A run that was sent nowhere has the hash of its config in the table, which no store knows.
    pairs = zip(runs["run_id"], runs["config_hash"], strict=True)
    ids = [str(run_id) if run_id != config_hash else "" for run_id, config_hash in pairs]
    return Explorer(
        ids=ids,
        names=[printable(str(name)) for name in runs["name"]],
        run=[known[run_id] for run_id in frame["run_id"]],
        epoch=[epochs[label] for label in labels],
        epochs=list(epochs),
        columns=columns,
        axes=[place[name] for name in analysis.axes if name in place],
        start=_start(analysis, ranking, numbers, place),
        links=links or RunLinks(),
        left_out=left_out,
    )


def _columns(analysis: Analysis) -> list[tuple[str, str]]:
    """Return the columns in which there is something to see, each with what it is."""
    table, frame = analysis.table, analysis.frame
    found = [(n, "settings") for n in table.settings if frame[n].nunique(dropna=False) > 1]
    found += [(n, "progress") for n in ("epoch", "step", "stopped_by") if n in frame]
    found += [(n, "metrics") for n in table.metrics if frame[n].notna().any()]
    return found


def _shown(frame: DataFrame, columns: int) -> tuple[DataFrame, str]:
    """Return the rows for the page, and what is left out.

    Whole epochs are left out while that is enough, so that all runs are there at each epoch shown.
    """
    most = min(MOST_ROWS, MOST_VALUES // max(1, columns))
    if len(frame) <= most:
        return frame, ""
    epochs = sorted(frame["epoch"].unique())
    sizes = frame["epoch"].value_counts()
    for count in range(len(epochs) - 1, 0, -1):
        chosen = _spread(epochs, count)
        if sum(int(sizes[epoch]) for epoch in chosen) <= most:
            part = frame[frame["epoch"].isin(chosen)]
            kept = f"{count} of {len(epochs)} epochs"
            break
    else:
        last = frame[frame["epoch"] == epochs[-1]]
        part = last.iloc[_spread(range(len(last)), most)]
        kept = f"{len(part):,} of {len(last):,} runs at the last epoch"
    rows = f"{len(part):,} of {len(frame):,} rows"
    return part, f"These are {kept}, {rows} of the table: a page of all would be too large to open."


def _spread(values: Sequence[Any], count: int) -> list[Any]:
    """Return so many of the values, evenly over all of them, the last one in any case."""
    if count == 1:
        return [values[-1]]
    step = (len(values) - 1) / (count - 1)
    return [values[round(index * step)] for index in range(count)]


def _column(frame: DataFrame, plain: DataFrame, name: str, group: str) -> Column:
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    # Where runs end at epochs of their own, `frame` has all ends at infinity: no place on an axis.
    values: Series[Any] = plain.loc[frame.index, name]
    number = is_numeric_dtype(values) and not is_bool_dtype(values)
    cells = list(map(_rounded, values)) if number else list(_texts(values))
    return Column(name, group, bool(number), cells)


def _rounded(value: float) -> float | None:
    """Return a number with few digits, whole ones as they are; None if it is not finite."""
    if not math.isfinite(value):
        return None
    if value == int(value) and abs(value) < 2**53:
        return int(value)
    return float(f"{value:.{DIGITS}g}")


def _texts(values: Iterable[Any]) -> Iterable[str | None]:
    for value in values:
        missing = value is None or (isinstance(value, float) and math.isnan(value))
        yield None if missing else printable(str(value))


def _start(
    analysis: Analysis,
    ranking: Ranking | None,
    numbers: Sequence[Column],
    place: dict[str, int],
) -> Start:
    drawable = {column.name for column in numbers}
    sides = (DEFAULT_X, DEFAULT_Y)
    pairs = [sides]
    if ranking is not None and ranking.measures:
        honest = [row for row in ranking.measures if not row.uses_test_data]
        best = ((honest or ranking.measures)[0].name, ranking.target)
        # Where the sweep does not ask for eq. (19), its measures come first.
        pairs.insert(1 if LHS_RHS in analysis.preset.figures else 0, best)
    metrics = [column.name for column in numbers if column.group == "metrics"]
    others = [column.name for column in numbers if column.group != "metrics"]
    first = (*metrics, *others)
    pairs.append((first[0], first[1]))
    x, y = next(pair for pair in pairs if drawable.issuperset(pair))
    color = next((place[name] for name in analysis.axes if name in place), None)
    return Start(place[x], place[y], color, (x, y) == sides)
