"""A ranking of measures as people read it: in the terminal, as LaTeX, and as files."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from gsnr_sweep.analysis.ranking import Kind, MeasureRank, Ranking, Statistic
from gsnr_sweep.analysis.ranking.ranking import USES_TEST_DATA
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.records.atomic import replace_file, write_atomically
from gsnr_sweep.report.files import safe_cells
from gsnr_sweep.wording import describe_epoch

if TYPE_CHECKING:
    from pandas import DataFrame
    from rich.console import Console


RANKING_FILE = "ranking.csv"
_UNDEFINED = "–"
_MOST_SHOWN_EPOCHS = 6
_EXPLAINED = (
    "[95 % interval over seeds]. −: ranked with a minus sign, large values go with small gaps. "
    f"{USES_TEST_DATA}: computed from test data, no prediction. Order: Ψ, pairs that differ in one "
    "setting alone."
)


def print_ranking(console: Console, ranking: Ranking, most: int | None = None) -> None:
    """Print a ranking, the best first.

    Args:
        console: Where to print.
        ranking: At one epoch.
        most: Most measures to print; all if None.
    """
    when = describe_epoch(ranking.epoch)
    seeds = f"{ranking.seeds} seed{'' if ranking.seeds == 1 else 's'}"
    about = f"{ranking.networks} networks, {seeds}"
    console.print(Text(f"Which measure predicts {ranking.target} at {when}: {about}", "bold"))
    measures = ranking.measures
    shown = measures[:most]
    with_errors = _has_environments(ranking)
    console.print(ranking_view([*shown, *ranking.references], with_errors=with_errors))
    if len(shown) < len(measures):
        console.print(Text(f"and {len(measures) - len(shown)} more: {RANKING_FILE}", "dim"))
    console.print(Text(_EXPLAINED, "dim"))
    if most is None and ranking.same_orders:
        console.print(Text(f"In the same order: {' '.join(ranking.same_orders)}", "dim"))
    for note in ranking.notes:
        console.print(Text(note, "yellow"))


def ranking_view(rows: Sequence[MeasureRank], *, with_errors: bool) -> Table:
    """Lay rows out as a table for the terminal.

    Args:
        rows: Measures, settings and baselines.
        with_errors: Whether there are sign errors to show.
    """
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("", overflow="fold")
    heads = ["Kendall τ", "Ψ", "K"] + (["sign error", "worst"] if with_errors else [])
    for heading in heads:
        table.add_column(heading, justify="right")
    before = Kind.MEASURE
    for row in rows:
        if row.kind is not before and before is Kind.MEASURE:
            table.add_section()
        before = row.kind
        cells = [_interval(row.tau), _interval(row.mean_psi), _value(row.information)]
        if with_errors:
            cells += [_value(row.sign_error_mean), _value(row.sign_error_max)]
        style = "" if row.kind is Kind.MEASURE else "dim"
        table.add_row(*(Text(cell, style) for cell in (row.label, *cells)))
    return table


def print_over_epochs(console: Console, rankings: Sequence[Ranking]) -> None:
    """Print Kendall's τ of each measure by epoch, in the order of the last one.

    Args:
        console: Where to print.
        rankings: One an epoch.
    """
    last = rankings[-1]
    count = min(len(rankings), _MOST_SHOWN_EPOCHS)
    places = np.linspace(0, len(rankings) - 1, count).round().astype(int)
    chosen = [rankings[place] for place in places]
    console.print(Text(f"Kendall's τ with {last.target}, by epoch", "bold"))
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("", overflow="fold")
    for one in chosen:
        table.add_column(describe_epoch(one.epoch), justify="right")
    by_name = [{row.name: row for row in one.rows} for one in chosen]
    for row in (*last.measures, *last.references):
        found = [rows.get(row.name) for rows in by_name]
        cells = [_UNDEFINED if one is None else _value(one.tau) for one in found]
        table.add_row(*(Text(cell) for cell in (row.label, *cells)))
    console.print(table)
    if len(chosen) < len(rankings):
        console.print(Text(f"{len(chosen)} of {len(rankings)} epochs; all: {RANKING_FILE}", "dim"))
    noted = Counter(note for one in rankings for note in one.general_notes)
    noted |= Counter(
        f"{row.name} is not to be had of all networks"
        for one in rankings
        for row in one.rows
        if row.notes
    )
    for note, epochs in noted.items():
        every = "" if epochs == len(rankings) else f" ({epochs} of {len(rankings)} epochs)"
        console.print(Text(f"{note.removesuffix('.')}{every}.", "yellow"))


def ranking_cells(ranking: Ranking) -> tuple[list[str], list[list[str]]]:
    """Return headings and cells of all rows, for the page and for LaTeX."""
    with_errors = _has_environments(ranking)
    heads = ["measure", "Kendall τ", "Ψ", *(f"ψ {axis}" for axis in ranking.axes), "K"]
    heads += ["sign error", "90 %", "worst"] if with_errors else []
    heads += ["Pearson", "Spearman"]
    rows = []
    for row in (*ranking.measures, *ranking.references):
        cells = [row.label, _interval(row.tau), _interval(row.mean_psi)]
        cells += [_value(row.psi.get(axis, Statistic())) for axis in ranking.axes]
        cells.append(_value(row.information))
        if with_errors:
            errors = (row.sign_error_mean, row.sign_error_p90, row.sign_error_max)
            cells += [_value(each) for each in errors]
        rows.append([*cells, _value(row.pearson), _value(row.spearman)])
    return heads, rows


def explained(ranking: Ranking) -> str:
    """Return what is to be known of a ranking's table."""
    alike = ["In the same order:", *ranking.same_orders] if ranking.same_orders else []
    return " ".join((_EXPLAINED, *alike, *ranking.notes))


def latex_of(ranking: Ranking) -> str:
    """Write a ranking as a LaTeX table (booktabs)."""
    from pandas import DataFrame

    heads, rows = ranking_cells(ranking)
    target, when = ranking.target.replace("_", r"\_"), describe_epoch(ranking.epoch)
    caption = rf"Rank correlation with {target} at {when}, 95\,\% intervals over seeds."
    text: str = DataFrame(rows, columns=heads).to_latex(
        index=False,
        escape=True,
        column_format="l" + "r" * (len(heads) - 1),
        caption=caption,
        label="tab:ranking",
    )
    for sign, command in _LATEX.items():
        text = text.replace(sign, command)
    return text


_LATEX = {
    "τ": r"$\tau$",
    "ψ": r"$\psi$",
    "Ψ": r"$\Psi$",
    "−": "$-$",
    "–": "--",
    USES_TEST_DATA: r"$^\dagger$",
}


def write_ranking(rankings: Sequence[Ranking], folder: Path, stem: str = "ranking") -> list[Path]:
    """Write table, LaTeX and heat map into a folder, which is made if need be.

    Args:
        rankings: One, or one an epoch.
        folder: Where.
        stem: The files' name without its ending.

    Returns:
        The files.

    Raises:
        GsnrError: They cannot be written.
    """
    from gsnr_sweep.papers.jiang2020.figures.ranking import draw_over_epochs, draw_ranking
    from gsnr_sweep.papers.plotting.panels import save_figure

    figure = draw_ranking(rankings[0]) if len(rankings) == 1 else draw_over_epochs(rankings)
    tables = write_tables(rankings, folder, stem)
    try:
        return [*tables, *save_figure(figure, folder, stem)]
    except OSError as error:
        raise _not_written(folder, error) from error


def write_tables(rankings: Sequence[Ranking], folder: Path, stem: str) -> list[Path]:
    """Write table and LaTeX alone, as `write_ranking` does."""
    paths = [folder / f"{stem}.csv", folder / f"{stem}.tex"]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        table = safe_cells(frame_of(rankings))
        replace_file(paths[0], partial(table.to_csv, index=False))
        write_atomically(paths[1], "\n".join(map(latex_of, rankings)))
    except OSError as error:
        raise _not_written(folder, error) from error
    return paths


def _not_written(folder: Path, error: OSError) -> GsnrError:
    return GsnrError(f"The ranking cannot be written into {folder}: {error}")


def frame_of(rankings: Sequence[Ranking]) -> DataFrame:
    """Lay rankings out as one table."""
    from pandas import concat

    return concat([one.frame() for one in rankings], ignore_index=True)


def _has_environments(ranking: Ranking) -> bool:
    return any(row.environments for row in ranking.rows)


def _value(one: Statistic) -> str:
    return _UNDEFINED if math.isnan(one.value) else f"{one.value:.2f}".replace("-", "−")


def _interval(one: Statistic) -> str:
    if math.isnan(one.low):
        return _value(one)
    return f"{one.value:.2f} [{one.low:.2f}, {one.high:.2f}]".replace("-", "−")
