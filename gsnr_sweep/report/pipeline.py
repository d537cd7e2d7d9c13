"""From the runs of a sweep to its table, statistics, figures, claims and page.

The launcher does this at the end of each sweep, ``python -m gsnr_sweep.aggregate`` for any sweep in
the tracking store.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gsnr_sweep.analysis.analysis import DEFAULT_X, DEFAULT_Y, Analysis
from gsnr_sweep.analysis.preset import LHS_RHS
from gsnr_sweep.analysis.table import SweepTable, read_sweep
from gsnr_sweep.errors import GsnrError, describe_exception
from gsnr_sweep.records.leases import standing
from gsnr_sweep.records.manifest import Manifest
from gsnr_sweep.records.sent import Sent, read_sent
from gsnr_sweep.records.state import State
from gsnr_sweep.report.files import TABLE_FILE, View, file_safe, write_files
from gsnr_sweep.report.mlflow_log import log_to_parent
from gsnr_sweep.report.result import AggregateResult
from gsnr_sweep.tracking.query import readable_store_errors
from gsnr_sweep.tracking.uri import recorded_uri
from gsnr_sweep.wording import did_you_mean

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from rich.console import Console

    from gsnr_sweep.analysis.ranking import Ranking
    from gsnr_sweep.analysis.statistics import PairStatistics

LEAST_RANKED = 8
"""Networks from which a sweep is ranked unasked: a few are in any order by chance."""
MOST_PRINTED = 8
"""Measures of the ranking that are printed after a sweep; all are in its table."""


def aggregate(
    client: MlflowClient,
    sweep: str,
    output: Path | None = None,
    *,
    x: str = DEFAULT_X,
    y: str = DEFAULT_Y,
    hue: str | None = None,
    style: str | None = None,
    epochs: Sequence[int] | None = None,
    error_bars: bool = False,
    log: bool = True,
    console: Console | None = None,
) -> AggregateResult:
    """Read a sweep back; write, print and log its table, figure and statistics.

    Args:
        client: Client of the store that holds the sweep.
        sweep: Run id, start of one, name of a sweep, or name of an experiment (all its runs).
        output: Folder for the files; ``aggregate/<name of the sweep>`` if None.
        x: Metric on the abscissa.
        y: Metric on the ordinate.
        hue: Setting told apart by colour; by what was swept if None.
        style: Setting told apart by marker; by what was swept if None.
        epochs: Epochs to draw; all if None. The statistics hold all in any case.
        error_bars: Whether the figure shows standard errors.
        log: Whether to log to the sweep's parent run; an experiment has none.
        console: Where to print; the standard output if None.

    Raises:
        GsnrError: There is no such sweep, metric, setting or epoch, no run of it finished, the
            store does not answer, or `output` cannot be written. That the results could not be
            logged raises nothing: they are on disk, and `AggregateResult.log_problem` says it.
    """
    view = View(x, y, hue, style, epochs, error_bars)
    return aggregate_table(read_sweep(client, sweep), client, output, view, log, console)


def aggregate_table(
    table: SweepTable,
    client: MlflowClient | None,
    output: Path | None = None,
    view: View | None = None,
    log: bool = True,
    console: Console | None = None,
) -> AggregateResult:
    """Write, print and log what comes out of a sweep that was read back.

    Args:
        table: The sweep's runs.
        client: Client of the store that holds its parent run; None if there is none.
        output: Folder for the files; ``aggregate/<name of the sweep>`` if None.
        view: What to look at; both sides of eq. (19) if None.
        log: Whether to log to the sweep's parent run.
        console: Where to print; the standard output if None.

    Raises:
        GsnrError: As `aggregate`.
    """
    from gsnr_sweep.papers.jiang2020.catalog import RANKING
    from gsnr_sweep.papers.liu2020.figures.lhs_rhs import MAX_PANELS
    from gsnr_sweep.papers.registry import claims_title, judge
    from gsnr_sweep.report.console import print_claims, print_files, print_statistics
    from gsnr_sweep.report.drawings import draw_all
    from gsnr_sweep.report.ranking import print_ranking, write_tables
    from gsnr_sweep.terminal import TextConsole

    view = view or View()
    figures = table.preset.figures if view.is_default_pair else ()
    compares = LHS_RHS in figures or not view.is_default_pair
    _check(table, view if compares else None)
    analysis = Analysis(table)
    ranking = _ranking(analysis) if view.is_default_pair else None
    if ranking is not None:
        figures = tuple(dict.fromkeys((*figures, RANKING)))
    statistics = analysis.statistics(view.x, view.y) if compares else {}
    drawings = draw_all(analysis, figures)
    claims = judge(analysis)
    output = output or Path("aggregate", file_safe(table.name))
    files = write_files(analysis, statistics, view, output, drawings)
    if ranking is not None:
        files = (*files, *write_tables([ranking], output, RANKING))
    log = log and client is not None
    problem = _log(client, table, statistics, files, view) if log and client else ""
    logged = log and table.parent_id is not None and not problem
    console = console or TextConsole()
    print_statistics(console, table, statistics, view.x, view.y)
    print_claims(console, claims_title(table.preset), claims)
    if ranking is not None:
        print_ranking(console, ranking, MOST_PRINTED)
    not_drawn = tuple(f"Figure {name} not drawn: {why}" for name, why in drawings.problems.items())
    for told in not_drawn:
        console.print(told, style="yellow", markup=False)
    if (count := len(view.epochs or statistics)) > MAX_PANELS:
        console.print(f"The figure shows {MAX_PANELS} of {count} epochs; --epochs chooses others.")
    print_files(console, files, table.parent_id if logged else None, problem)
    return AggregateResult(analysis, statistics, files, claims, not_drawn, logged, problem, ranking)


def _ranking(analysis: Analysis) -> Ranking | None:
    """Rank the sweep's measures; None where there is nothing to rank, or too little."""
    try:
        ranking = analysis.ranking
    except GsnrError:  # few runs, or no target: `gsnr-sweep rank` says which
        return None
    enough = len(ranking.measures) > 1 and ranking.networks >= LEAST_RANKED
    return ranking if enough else None


def _check(table: SweepTable, view: View | None) -> None:
    """Refuse what cannot be aggregated before anything is written.

    Raises:
        GsnrError: No run finished, or a metric or setting does not exist.
    """
    if not table.runs:
        shown = "\n".join(f"  {run}" for run in table.left_out[:5])
        raise GsnrError(
            f"None of the {len(table.left_out)} runs of {table.name} has finished, so there is "
            f"nothing to aggregate yet:\n{shown}"
        )
    if view is None:
        return
    metrics = [view.x, view.y]
    if view.error_bars:
        metrics += [f"{view.x}_se", f"{view.y}_se"]
    for name in metrics:
        _check_known(name, table.metrics, "metric")
    for setting in filter(None, (view.hue, view.style)):
        _check_known(setting, table.settings, "setting")


def _check_known(name: str, known: Sequence[str], kind: str) -> None:
    """Refuse an unknown name with the likeliest right one.

    Raises:
        GsnrError: The name is not known.
    """
    if name in known:
        return
    hint = did_you_mean(name, known)
    there_is = f"There is: {', '.join(known)}."
    raise GsnrError(" ".join(filter(None, (f"The runs have no {kind} {name!r}.", hint, there_is))))


def _log(
    client: MlflowClient,
    table: SweepTable,
    statistics: dict[float, PairStatistics],
    files: Sequence[Path],
    view: View,
) -> str:
    """Log to the sweep's parent run, if it has one; return what went wrong, empty if nothing."""
    if table.parent_id is None:
        return ""
    prefix = "" if view.is_default_pair else f"{view.stem}/"
    try:
        log_to_parent(client, table.parent_id, statistics, files, prefix)
    except GsnrError as error:
        return str(error)
    return ""


def collect(manifest: Manifest, console: Console) -> AggregateResult | None:
    """Aggregate what a sweep has so far, runs of earlier launches included.

    Whatever goes wrong is said and ends nothing: the runs' records are complete and stay so.

    Args:
        manifest: The sweep.
        console: Where to print.

    Returns:
        What came out; None if there is nothing to aggregate.
    """
    from gsnr_sweep.analysis.read_folder import read_folder

    try:
        client, away = None, ""
        try:
            client = client_of(manifest)
        except GsnrError as error:
            away = str(error)
            console.print(f"Not sent to MLflow: {away}", style="yellow", markup=False)
        table = read_folder(manifest, client)
        result = aggregate_table(table, client, manifest.folder, console=console)
        problem = away or result.log_problem
        problem = _write_report(manifest, result, client, console) or problem
        if client is not None and not problem:
            problem = _show_in_mlflow(manifest, result, client, console)
        if result.logged and not problem:
            _note_sent(manifest)
        return replace(result, log_problem=problem)
    except Exception as error:
        told = str(error) if isinstance(error, GsnrError) else describe_exception(error)
        console.print(f"Not aggregated: {told}", style="yellow", markup=False)
        return None


def _write_report(
    manifest: Manifest, result: AggregateResult, client: MlflowClient | None, console: Console
) -> str:
    """Write the page on the sweep beside its files, and add it to its run; say why it is not."""
    from gsnr_sweep.report.content import section_of
    from gsnr_sweep.report.publish import REPORT_FILE, add_to_run, write_page
    from gsnr_sweep.report.run_links import run_links

    path = manifest.folder / REPORT_FILE
    links = run_links(client, result.table)
    section = section_of(result.table, result, manifest.command, links=links)
    write_page([section], path)
    console.print(f"Page on all this: {path}", markup=False, soft_wrap=True)
    if problem := add_to_run(client, manifest.parent_run_id or None, path, section):
        console.print(f"Not added to the sweep's run: {problem}", style="yellow", markup=False)
    return problem


def _show_in_mlflow(
    manifest: Manifest, result: AggregateResult, client: MlflowClient, console: Console
) -> str:
    """Prepare what people see of the sweep in MLflow, and say where; return what went wrong."""
    from gsnr_sweep.config.program import command_program
    from gsnr_sweep.tracking.prepared_view import where_to_browse
    from gsnr_sweep.tracking.sweep_tracker import log_data_of_sweep

    parent_id = manifest.parent_run_id
    try:
        with readable_store_errors(client.tracking_uri):
            if not any(map(_is_to_come, map(manifest.folder_of, manifest.runs))):
                data = [record.data for _, record in result.table.records]
                log_data_of_sweep(client, parent_id, data)
            address = where_to_browse(client, parent_id)
    except GsnrError as error:
        return str(error)
    browse = address or f"{command_program()} ui {manifest.id}"
    console.print(f"Browse in MLflow: {browse}", markup=False, highlight=False, soft_wrap=True)
    return ""


def _is_to_come(folder: Path) -> bool:
    state = standing(folder).state
    return state == State.WAITING or state.under_way


def results_are_sent(manifest: Manifest) -> bool:
    """Whether the sweep's own run in MLflow was sent the table that lies on disk, and its page."""
    noted = read_sent(manifest.folder)
    return noted.digest == _results_digest(manifest) and noted.run_id == manifest.parent_run_id


def _note_sent(manifest: Manifest) -> None:
    note = Sent(manifest.parent_run_id, _results_digest(manifest))
    with contextlib.suppress(GsnrError):  # a full disk: it is sent again, at worst
        note.write(manifest.folder)


def _results_digest(manifest: Manifest) -> str:
    try:
        return hashlib.sha256((manifest.folder / TABLE_FILE).read_bytes()).hexdigest()
    except OSError:
        return "no table"


def client_of(manifest: Manifest) -> MlflowClient | None:
    """Connect to the store that a sweep is tracked in; None if it is not.

    Raises:
        GsnrError: The store does not answer, or is not there.
    """
    if not manifest.uri:
        return None
    from gsnr_sweep.tracking.store import connect

    uri = recorded_uri(manifest.uri, Path(manifest.launch_folder))
    with readable_store_errors(uri):
        return connect(uri)
