"""A sweep's own run in the tracking store."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gsnr_sweep.records.manifest import Manifest
from gsnr_sweep.tracking.data_sets import inputs_of
from gsnr_sweep.tracking.query import readable_store_errors
from gsnr_sweep.tracking.run_writer import LONGEST_NAME, RunWriter
from gsnr_sweep.tracking.store import KIND_TAG, connect, store_problem, user_tags
from gsnr_sweep.tracking.uri import recorded_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

COMMAND_TAG = "gsnr.command"
GRID_TAG = "gsnr.grid"
RUNS_TAG = "gsnr.runs"
NOTE_TAG = "mlflow.note.content"
_NOTED_TAG = "gsnr.noted"


@contextmanager
def _surviving(run: str) -> Iterator[None]:
    """Go on if the store fails: the other runs of a sweep must not be lost with it."""
    try:
        yield
    except Exception as error:
        log.warning("MLflow: %s could not be changed (%s)", run, store_problem(error))


@dataclass
class SweepTracker:
    """The parent run of a sweep.

    Attributes:
        client: Connection to the store.
        run_id: The parent run.
    """

    client: MlflowClient
    run_id: str

    @classmethod
    def start(
        cls,
        client: MlflowClient,
        experiment_id: str,
        name: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
    ) -> SweepTracker:
        """Create the parent run; one that cannot be described is closed again.

        Args:
            client: Connection to the store.
            experiment_id: Collects the runs.
            name: Name of the parent run.
            params: What all runs of the sweep share, and the axes of the grid.
            tags: Further tags, such as the command line.

        Raises:
            GsnrError: The store does not answer.
        """
        with readable_store_errors(client.tracking_uri):
            run = client.create_run(
                experiment_id, run_name=name[:LONGEST_NAME], tags={KIND_TAG: "sweep", **user_tags()}
            )
            tracker = cls(client, run.info.run_id)
            try:
                writer = RunWriter(client, tracker.run_id)
                writer.tags(tags)
                writer.params(params)
            except BaseException:
                tracker.finish("FAILED")
                raise
        return tracker

    def finish(self, status: str) -> None:
        """Close the parent run with MLflow's FINISHED, FAILED or KILLED."""
        with _surviving(f"sweep {self.run_id}"):
            self.client.set_terminated(self.run_id, status)

    def log_file(self, path: Path) -> None:
        """Add a file to the parent run."""
        with _surviving(f"sweep {self.run_id}"):
            self.client.log_artifact(self.run_id, str(path))


def describe_sweep(client: MlflowClient, run_id: str, text: str) -> None:
    """Set the description of a sweep's run, unless somebody has written one of their own.

    Args:
        client: Of the store.
        run_id: The sweep's run.
        text: Markdown.
    """
    tags = client.get_run(run_id).data.tags
    now = tags.get(NOTE_TAG, "")
    if (
        now
        and _digest(now) != tags.get(_NOTED_TAG)
        and now != first_note(tags.get(COMMAND_TAG, ""))
    ):
        return
    client.set_tag(run_id, NOTE_TAG, text)
    client.set_tag(run_id, _NOTED_TAG, _digest(text))


def first_note(command: str) -> str:
    """Return what the run of a sweep is described by before there is a result."""
    return f"`{command}`"


def log_data_of_sweep(client: MlflowClient, run_id: str, data: Iterable[Mapping[str, Any]]) -> None:
    """Log the data sets of all runs as inputs of the sweep's run, once.

    Args:
        client: Of the store.
        run_id: The sweep's run.
        data: `gsnr_sweep.records.record.RunRecord.data` of each run.
    """
    inputs, held = inputs_of(data), client.get_run(run_id).inputs
    if inputs and not (held and held.dataset_inputs):
        RunWriter(client, run_id).inputs(inputs)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def standing_of_sweep(manifest: Manifest, restore: bool = False) -> str:
    """Return how a sweep's own run stands in the store.

    Args:
        manifest: The sweep.
        restore: Whether to restore one that was deleted.

    Returns:
        ``active``, ``deleted``, ``restored`` now, or ``gone``.

    Raises:
        GsnrError: The store does not answer, or is not there.
    """
    from mlflow.exceptions import MlflowException

    uri, run_id = recorded_uri(manifest.uri, Path(manifest.launch_folder)), manifest.parent_run_id
    with readable_store_errors(uri):
        client = connect(uri)
        try:
            stage = str(client.get_run(run_id).info.lifecycle_stage)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return "gone"
            raise
        if stage == "deleted" and restore:
            client.restore_run(run_id)
            return "restored"
        return stage


def close_parent(manifest: Manifest, status: str) -> None:
    """Close a sweep's run from another process, if it is still open."""
    run_id = manifest.parent_run_id
    with _surviving(f"sweep {run_id}"):
        client = connect(recorded_uri(manifest.uri, Path(manifest.launch_folder)))
        if client.get_run(run_id).info.status == "RUNNING":
            client.set_terminated(run_id, status)
