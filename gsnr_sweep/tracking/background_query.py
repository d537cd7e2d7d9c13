"""The finished runs that a tracking store has, looked up by a process of its own.

Importing MLflow and opening a store take as long as importing PyTorch, which checking a grid needs.
A dry run, which needs nothing else of MLflow, has both done side by side.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gsnr_sweep._startup import loading_quickly
from gsnr_sweep.config.schema import TrackingConfig
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.tracking.query import readable_store_errors, search_runs
from gsnr_sweep.tracking.store import HASH_TAG, KIND_TAG, STATE_TAG
from gsnr_sweep.tracking.uri import missing_file, tracking_uri, without_password

if TYPE_CHECKING:
    from mlflow import MlflowClient

_PACKAGES = Path(__file__).parents[2]


@dataclass(frozen=True)
class StoredRun:
    """A finished run as the store knows it.

    Attributes:
        config_hash: Its identity.
        run_id: Its MLflow run.
        when: When it ended, seconds since 1970.
        state: As in `gsnr_sweep.records.status.Status`.
        code: Version of the code that computed it.
    """

    config_hash: str
    run_id: str
    when: float
    state: str
    code: str


def store_to_read(tracking: TrackingConfig, launch_folder: Path) -> str:
    """Return the URI of the store that may hold earlier runs, empty if there is none.

    Raises:
        GsnrError: MLflow no longer supports this kind of store.
    """
    if tracking.name != "mlflow":
        return ""
    uri = tracking_uri(tracking, launch_folder)
    return "" if missing_file(uri) else uri


def finished_runs(client: MlflowClient, experiment: str) -> list[StoredRun]:
    """Return the finished runs of an experiment, none if it does not exist."""
    found = client.get_experiment_by_name(experiment)
    if found is None:
        return []
    condition = f"tags.`{KIND_TAG}` = 'run' and tags.`{STATE_TAG}` = 'finished'"
    return [
        StoredRun(
            config_hash=run.data.tags.get(HASH_TAG, ""),
            run_id=run.info.run_id,
            when=(run.info.end_time or run.info.start_time or 0) / 1000,
            state=run.data.tags.get(STATE_TAG, ""),
            code=run.data.tags.get("gsnr.code", ""),
        )
        for run in search_runs(client, [found.experiment_id], condition)
    ]


def read_finished_runs(uri: str, experiment: str) -> list[StoredRun]:
    """Return the finished runs of an experiment in the store at `uri`, which this process opens.

    Raises:
        GsnrError: The store cannot be read.
    """
    with loading_quickly():
        from mlflow import MlflowClient

        with readable_store_errors(uri):
            return finished_runs(MlflowClient(uri), experiment)


class LookUp:
    """A process that looks up the finished runs of an experiment meanwhile."""

    def __init__(self, uri: str, experiment: str) -> None:
        """Let it begin.

        Args:
            uri: The store; may hold a password, so that it is not told on the command line.
            experiment: Only runs of this one are looked up.
        """
        self._uri = uri
        paths = [str(_PACKAGES), os.environ.get("PYTHONPATH", "")]
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        )
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has died: `runs` says so
            self._process.stdin.write(json.dumps([uri, experiment]) + "\n")
            self._process.stdin.flush()

    def runs(self) -> list[StoredRun]:
        """Wait until they are found.

        Raises:
            GsnrError: The store cannot be read.
        """
        answer, _ = self._process.communicate()
        if self._process.returncode != 0:
            raise GsnrError(f"The tracking store {without_password(self._uri)} cannot be read.")
        return [StoredRun(**run) for run in json.loads(answer)]

    def end(self) -> None:
        """End the process if it is still there."""
        self._process.kill()
        with self._process:  # closes its pipes and waits for it
            pass


@contextmanager
def looking_up(tracking: TrackingConfig, launch_folder: Path) -> Iterator[LookUp | None]:
    """Look up the finished runs of an experiment meanwhile; None if there is no store to read."""
    try:
        uri = store_to_read(tracking, launch_folder)
    except GsnrError:  # whoever needs the store says so
        uri = ""
    look_up = LookUp(uri, tracking.experiment) if uri else None
    try:
        yield look_up
    finally:
        if look_up is not None:
            look_up.end()


def main() -> None:
    """Answer on standard output what is asked on standard input."""
    uri, experiment = json.loads(sys.stdin.readline())
    print(json.dumps([asdict(run) for run in read_finished_runs(uri, experiment)]))


if __name__ == "__main__":
    from gsnr_sweep._startup import leaving_quickly

    with leaving_quickly():
        main()
