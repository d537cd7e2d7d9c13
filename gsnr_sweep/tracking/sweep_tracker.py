"""A sweep's own run in the tracking store."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gsnr_sweep.records.manifest import Manifest
from gsnr_sweep.tracking.query import readable_store_errors
from gsnr_sweep.tracking.run_writer import LONGEST_NAME, RunWriter
from gsnr_sweep.tracking.store import KIND_TAG, open_store, store_problem, user_tags
from gsnr_sweep.tracking.uri import recorded_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)


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
        uri: str,
        experiment: str,
        name: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
    ) -> SweepTracker:
        """Create the parent run.

        Args:
            uri: The store.
            experiment: Collects the runs.
            name: Name of the parent run.
            params: What all runs of the sweep share, and the axes of the grid.
            tags: Further tags, such as the command line.

        Raises:
            GsnrError: The store cannot be opened, or does not answer.
        """
        client, experiment_id = open_store(uri, experiment)
        with readable_store_errors(uri):
            run = client.create_run(
                experiment_id, run_name=name[:LONGEST_NAME], tags={KIND_TAG: "sweep", **user_tags()}
            )
            writer = RunWriter(client, run.info.run_id)
            writer.tags(tags)
            writer.params(params)
        return cls(client, run.info.run_id)

    def finish(self, status: str) -> None:
        """Close the parent run with MLflow's FINISHED, FAILED or KILLED."""
        with _surviving(f"sweep {self.run_id}"):
            self.client.set_terminated(self.run_id, status)

    def log_file(self, path: Path) -> None:
        """Add a file to the parent run."""
        with _surviving(f"sweep {self.run_id}"):
            self.client.log_artifact(self.run_id, str(path))


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
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    uri, run_id = recorded_uri(manifest.uri, Path(manifest.launch_folder)), manifest.parent_run_id
    with readable_store_errors(uri):
        client = MlflowClient(uri)
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
    from mlflow import MlflowClient

    run_id = manifest.parent_run_id
    with _surviving(f"sweep {run_id}"):
        client = MlflowClient(recorded_uri(manifest.uri, Path(manifest.launch_folder)))
        if client.get_run(run_id).info.status == "RUNNING":
            client.set_terminated(run_id, status)
