"""Aggregating a sweep from its folder: with or without a tracking store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gsnr_sweep.errors import GsnrError, reason
from gsnr_sweep.records.manifest import Manifest

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from rich.console import Console

    from gsnr_sweep.report.pipeline import AggregateResult


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
    from gsnr_sweep.report.pipeline import aggregate_table

    try:
        client = client_of(manifest)
        table = read_folder(manifest, client)
        result = aggregate_table(table, client, manifest.folder, console=console)
        _write_report(manifest, result, client, console)
        return result
    except Exception as error:
        told = str(error) if isinstance(error, GsnrError) else reason(error)
        console.print(f"Not aggregated: {told}", style="yellow", markup=False)
        return None


def _write_report(
    manifest: Manifest, result: AggregateResult, client: MlflowClient | None, console: Console
) -> None:
    """Write the page on the sweep beside its files, and add it to its run."""
    from gsnr_sweep.report.content import section_of
    from gsnr_sweep.report.publish import REPORT_FILE, add_to_run, write_page

    path = manifest.folder / REPORT_FILE
    write_page([section_of(result.table, result, manifest.command)], path)
    console.print(f"Page on all this: {path}", markup=False, soft_wrap=True)
    if problem := add_to_run(client, manifest.parent_run_id or None, path):
        console.print(f"Not added to the sweep's run: {problem}", style="yellow", markup=False)


def client_of(manifest: Manifest) -> MlflowClient | None:
    """Connect to the store that a sweep is tracked in; None if it is not."""
    if not manifest.uri:
        return None
    from mlflow import MlflowClient

    return MlflowClient(manifest.uri)
