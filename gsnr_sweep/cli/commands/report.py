"""``python -m gsnr_sweep report``: one page on one or more sweeps."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from gsnr_sweep.cli.commands.lookup import find_sweep, parent_in_store
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.report.files import file_safe
from gsnr_sweep.terminal import TextConsole

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from gsnr_sweep.analysis.table import SweepTable
    from gsnr_sweep.report.content import Section


@dataclass(frozen=True)
class Source:
    """A sweep that was read back, from its folder or from the tracking store.

    Attributes:
        table: Its runs.
        client: Of the store that holds its run; None if there is none.
        folder: Where what is made of it belongs.
        command: The command line that launched it; empty if not known.
        away: Why the store does not answer; empty if it does.
    """

    table: SweepTable
    client: MlflowClient | None
    folder: Path
    command: str
    away: str = ""


def report_command(
    wanted: Sequence[str], here: Path, uri: str | None, output: Path | None, console: Console
) -> int:
    """Write the page; that of a single sweep is added to its run in MLflow.

    Args:
        wanted: The sweeps: folders, ids or names; none for the latest.
        here: The folder in which they were launched.
        uri: Tracking store, for sweeps without a folder here.
        output: The file; ``report.html`` in the sweep's folder, or here for several sweeps.
        console: Where to say what was written.

    Returns:
        The exit code: 1 if the page could not be added to MLflow.

    Raises:
        GsnrError: There is no such sweep, or the file cannot be written. A sweep with failed or
            missing runs is no error: the page says which.
    """
    asked: Sequence[str | None] = wanted or [None]
    sources = [read_source(one, here, uri) for one in asked]
    sections = [_section(source, console) for source in sources]
    from gsnr_sweep.report.publish import REPORT_FILE, add_to_run, write_page

    path = output or (sources[0].folder if len(sources) == 1 else here) / REPORT_FILE
    write_page(sections, path)
    console.print(f"Written: {path}", markup=False, soft_wrap=True)
    if len(sources) > 1:  # each sweep's run has a page of its own
        return 0
    problem = sources[0].away or add_to_run(
        sources[0].client, sources[0].table.parent_id, path, sections[0]
    )
    if problem:
        console.print(f"Not added to MLflow: {problem}", style="yellow", markup=False)
    return 1 if problem else 0


def read_source(wanted: str | None, here: Path, uri: str | None) -> Source:
    """Read a sweep from its folder; if it has none here, from the tracking store.

    Args:
        wanted: Folder, id or name; None for the latest sweep below `here`.
        here: The folder in which it was launched.
        uri: Tracking store, for a sweep without a folder here.

    Raises:
        GsnrError: There is no such sweep.
    """
    from gsnr_sweep.analysis.read_folder import read_folder

    try:
        manifest = find_sweep(wanted, here, uri)
    except GsnrError as error:
        if wanted is None or (source := _from_store(wanted, here, uri)) is None:
            raise error from None
        return source
    from gsnr_sweep.report.pipeline import client_of

    client, away = None, ""
    try:
        client = client_of(manifest)
    except GsnrError as error:  # what is on disk needs no store
        away = str(error)
    table = read_folder(manifest, client)
    return Source(table, client, manifest.folder, manifest.command, away)


def _from_store(wanted: str, here: Path, uri: str | None) -> Source | None:
    """Read a sweep from the tracking store; None if there is no such sweep or no store."""
    from gsnr_sweep.analysis.table import read_sweep

    if (found := parent_in_store(wanted, here, uri)) is None:
        return None
    client, parent = found
    table = read_sweep(client, parent.info.run_id)
    command = parent.data.tags.get("gsnr.command", "")
    return Source(table, client, here / "aggregate" / file_safe(table.name), command)


def _section(source: Source, console: Console) -> Section:
    """Draw a sweep's figures anew and gather what there is to say."""
    from gsnr_sweep.report.content import section_of
    from gsnr_sweep.report.pipeline import aggregate_table
    from gsnr_sweep.report.run_links import run_links

    quiet = TextConsole(file=io.StringIO())
    name = source.table.name
    with console.status(Text(f"reading {name}")):
        try:
            result = aggregate_table(
                source.table, source.client, source.folder, log=False, console=quiet
            )
        except GsnrError as error:
            return section_of(source.table, None, source.command, str(error).splitlines()[0])
    links = run_links(source.client, source.table)
    return section_of(source.table, result, source.command, links=links)
