"""Where a reader of the page finds a run in MLflow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gsnr_sweep.config.program import command_program
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.tracking.query import SHORT_ID, readable_store_errors
from gsnr_sweep.tracking.uri import server_address, without_password

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from gsnr_sweep.analysis.table import SweepTable


@dataclass(frozen=True)
class RunLinks:
    """How to get from a run's id to the run.

    Attributes:
        address: What an id is put behind; empty if the store has no server that stays.
        command: What opens the sweep; empty if it is in no store.
    """

    address: str = ""
    command: str = ""


def run_links(client: MlflowClient | None, table: SweepTable) -> RunLinks:
    """Return how to find the runs of a sweep.

    A server that does not answer takes no more from the page than its links.

    Args:
        client: Of the store; None if there is none.
        table: The sweep's runs.
    """
    run_id = table.parent_id or next((run_id for run_id, _ in table.records), None)
    if client is None or run_id is None:
        return RunLinks()
    command = f"{command_program()} ui {table.parent_id[:SHORT_ID]}" if table.parent_id else ""
    server = without_password(server_address(client.tracking_uri))  # the page is passed around
    if not server:
        return RunLinks(command=command)
    try:
        with readable_store_errors(client.tracking_uri):
            experiment_id = client.get_run(run_id).info.experiment_id
    except GsnrError:
        return RunLinks(command=command)
    return RunLinks(f"{server}/#/experiments/{experiment_id}/runs/", command)
