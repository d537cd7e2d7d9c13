"""Where the page goes: a file, and the sweep's run in MLflow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.records.atomic import write_atomically
from gsnr_sweep.report.content import Section
from gsnr_sweep.report.description import description
from gsnr_sweep.report.page import render
from gsnr_sweep.tracking.query import readable_store_errors
from gsnr_sweep.tracking.run_writer import LONGEST_TAG
from gsnr_sweep.tracking.sweep_tracker import describe_sweep

if TYPE_CHECKING:
    from mlflow import MlflowClient

REPORT_FILE = "report.html"


def write_page(sections: Sequence[Section], path: Path) -> None:
    """Write the page on some sweeps.

    Raises:
        GsnrError: The file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GsnrError(f"{path.parent} cannot be made: {error.strerror}.") from error
    write_atomically(path, render(sections))


def add_to_run(
    client: MlflowClient | None, run_id: str | None, path: Path, section: Section
) -> str:
    """Add the page to a sweep's run, and describe the run by what stands in it.

    Args:
        client: Of the store; None if there is none.
        run_id: The sweep's run; None if it has none.
        path: The page.
        section: What it says of the sweep.

    Returns:
        What went wrong, empty if nothing.
    """
    if client is None or run_id is None:
        return ""
    try:
        with readable_store_errors(client.tracking_uri):
            if path.name == REPORT_FILE:
                client.log_artifact(run_id, str(path))
            else:
                client.log_text(run_id, path.read_text(), REPORT_FILE)
            describe_sweep(client, run_id, description(section, LONGEST_TAG))
    except GsnrError as error:
        return str(error)
    return ""
