"""Aggregating a sweep from its folder: with or without a tracking store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.locate import reason
from gsnr_sweep.manifest import Manifest

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from rich.console import Console

    from gsnr_sweep.aggregate import AggregateResult


def collect(manifest: Manifest, console: Console) -> AggregateResult | None:
    """Aggregate what a sweep has so far, runs of earlier launches included.

    Whatever goes wrong is said and ends nothing: the runs' records are complete and stay so.

    Args:
        manifest: The sweep.
        console: Where to print.

    Returns:
        What came out; None if there is nothing to aggregate.
    """
    from gsnr_sweep.aggregate.folder import read_folder
    from gsnr_sweep.aggregate.sweep import aggregate_table

    try:
        client = _client(manifest)
        table = read_folder(manifest, client)
        return aggregate_table(table, client, manifest.folder, console=console)
    except Exception as error:
        told = str(error) if isinstance(error, GsnrError) else reason(error)
        console.print(f"Not aggregated: {told}", style="yellow", markup=False)
        return None


def _client(manifest: Manifest) -> MlflowClient | None:
    if not manifest.uri:
        return None
    from mlflow import MlflowClient

    return MlflowClient(manifest.uri)
