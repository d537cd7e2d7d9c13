"""The one place that writes to MLflow.

A sweep is a parent run, each grid point a child of it. Only `MlflowClient` is used, never MLflow's
active run, so that a process can serve many runs and a run needs no process of its own.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gsnr_sweep.config import TrackingConfig
from gsnr_sweep.data.draw import RunSets
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.record import Measurement, RunRecord, flatten

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

KIND_TAG = "gsnr.kind"
_PARENT_TAG = "mlflow.parentRunId"
_TRAINING = {"mlflow.experimentKind": "custom_model_development"}  # the UI's view of the runs
_MOST_PARAMS = 100
_MOST_METRICS = 1000
_LONGEST_PARAM = 6000
_SECONDS_BETWEEN_SENDS = 5.0


def tracking_uri(cfg: TrackingConfig, folder: Path) -> str:
    """Return the tracking store's URI, absolute where it is a file.

    Args:
        cfg: ``uri`` comes first, then MLFLOW_TRACKING_URI.
        folder: Holds the default store ``mlflow.db``, where ``mlflow ui`` finds it.

    Raises:
        GsnrError: MLflow no longer supports this kind of store.
    """
    uri = cfg.uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder / 'mlflow.db'}"
    if uri.startswith("sqlite:///"):
        path = Path(uri.removeprefix("sqlite:///"))
        return f"sqlite:///{path if path.is_absolute() else folder / path}"
    if "://" not in uri or uri.startswith("file:"):
        raise GsnrError(
            f"tracking.uri={uri}: MLflow keeps runs in a database or on a server, no longer in "
            "plain folders. Use sqlite:///FILE.db, http://HOST:PORT, or tracking=none."
        )
    return uri


def open_store(uri: str, experiment: str) -> tuple[MlflowClient, str]:
    """Connect to a store, creating schema and experiment if they are missing.

    A fresh SQLite store must be opened once before many processes use it: its schema is made then.

    Returns:
        The client and the experiment's id.

    Raises:
        GsnrError: The store cannot be reached or opened.
    """
    import mlflow
    from mlflow import MlflowClient

    for noisy in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # its retries are not the user's concern
    try:
        client = MlflowClient(uri)
        found = client.get_experiment_by_name(experiment)
        if found is not None and found.lifecycle_stage == "active":
            return client, str(found.experiment_id)
        return client, str(client.create_experiment(experiment, _artifacts_beside(uri), _TRAINING))
    except mlflow.exceptions.MlflowException as error:
        reason = _first_line(error)
        if "ConnectionPool" in reason:
            reason = "no server answers there"
        raise GsnrError(
            f"The tracking store {uri} cannot be used ({reason}). Start it, name another with "
            "tracking.uri=URI (or MLFLOW_TRACKING_URI), or run with tracking=none."
        ) from None
    except Exception as error:
        raise GsnrError(
            f"The tracking store {uri} cannot be opened ({_first_line(error)}). "
            "Name another with tracking.uri=URI, or run with tracking=none."
        ) from None


def _first_line(error: Exception) -> str:
    """Say what went wrong without the SQL or the server's answer that may follow it."""
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


def _artifacts_beside(uri: str) -> str | None:
    """Keep artifacts beside a SQLite file, whatever folder a worker runs in."""
    if not uri.startswith("sqlite:///"):
        return None
    return (Path(uri.removeprefix("sqlite:///")).parent / "mlartifacts").as_uri()


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
        """
        client, experiment_id = open_store(uri, experiment)
        run = client.create_run(
            experiment_id, run_name=name, tags={KIND_TAG: "sweep", **_user_tags(), **tags}
        )
        _log_params(client, run.info.run_id, params)
        return cls(client, run.info.run_id)

    def finish(self, status: str) -> None:
        """Close the parent run with MLflow's FINISHED, FAILED or KILLED."""
        with _surviving(f"sweep {self.run_id}"):
            self.client.set_terminated(self.run_id, status)

    def close_child(self, run_id: str, status: str) -> None:
        """Close a child whose process is gone."""
        with _surviving(f"run {run_id}"):
            if run_id and self.client.get_run(run_id).info.status == "RUNNING":
                self.client.set_terminated(run_id, status)


@contextmanager
def _surviving(run: str) -> Iterator[None]:
    """Go on if the store fails: the other runs of a sweep must not be lost with it."""
    try:
        yield
    except Exception as error:
        log.warning("MLflow: %s could not be closed (%s)", run, _first_line(error))


class RunTracker:
    """One run in MLflow.

    Nothing here may end a run: if the store fails, the run goes on, its record is on disk, and
    `problem` says what happened.
    """

    def __init__(self, cfg: TrackingConfig, folder: Path) -> None:
        """Prepare; nothing is sent yet.

        Args:
            cfg: Store, experiment and parent run.
            folder: Where the default store is.
        """
        self._cfg = cfg
        self._folder = folder
        self._client: MlflowClient | None = None
        self._unsent: list[Measurement] = []
        self._missed: list[tuple[Any, tuple[Any, ...]]] = []
        self._sent_at = time.monotonic()
        self.run_id = ""
        self.problem = "" if cfg.name == "mlflow" else "tracking=none"

    def start(self, record: RunRecord) -> None:
        """Create the run with its parameters and tags."""
        self._attempt(self._start, record)

    def describe_data(
        self, name: str, source: str, sets: RunSets, digests: tuple[str, str]
    ) -> None:
        """Log the data sets as the run's inputs.

        Args:
            name: The data set's name.
            source: Where the data come from.
            sets: The samples.
            digests: Of the training sets and of the test set. They must differ: MLflow keeps one
                input a name and digest.
        """
        self._attempt(self._log_data, name, source, sets, digests)

    def measured(self, measurement: Measurement) -> None:
        """Log metrics, at once or soon."""
        self._unsent.append(measurement)
        if time.monotonic() - self._sent_at > _SECONDS_BETWEEN_SENDS:
            self._attempt(self._send)

    def finish(self, record: RunRecord, files: list[Path]) -> None:
        """Send what is left and close the run; what failed on the way is tried once more."""
        missed, self._missed = self._missed, []
        if missed:
            self.problem = ""
        for action, arguments in missed:
            self._attempt(action, *arguments)
        self._attempt(self._finish, record, files)

    def _attempt(self, action: Any, *arguments: Any) -> None:
        if self._cfg.name != "mlflow":
            return
        if self.problem:
            self._missed.append((action, arguments))
            return
        try:
            action(*arguments)
        except Exception as error:
            self._missed.append((action, arguments))
            self.problem = f"MLflow: {_first_line(error)}"
            log.warning("%s; the record stays on disk", self.problem, exc_info=True)

    def _start(self, record: RunRecord) -> None:
        uri = tracking_uri(self._cfg, self._folder)
        client, experiment_id = open_store(uri, self._cfg.experiment)
        tags = {KIND_TAG: "run", "gsnr.config_hash": record.config_hash, **_user_tags()}
        tags.update({f"gsnr.{key}": value for key, value in record.environment.items()})
        if self._cfg.parent_run_id:
            tags[_PARENT_TAG] = self._cfg.parent_run_id
        if not self.run_id:
            run = client.create_run(experiment_id, run_name=record.name, tags=tags)
            self._client, self.run_id = client, run.info.run_id
        _log_params(client, self.run_id, flatten(record.config))

    def _log_data(self, name: str, source: str, sets: RunSets, digests: tuple[str, str]) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        assert self._client is not None
        inputs = []
        for context, digest, size, count in (
            ("training", digests[0], len(sets.train[0]), len(sets.train)),
            ("testing", digests[1], len(sets.test), 1),
        ):
            profile = {"samples": size, "sets": count}
            dataset = Dataset(
                name=f"{name} {context}",
                digest=digest,
                source_type="local",
                source=json.dumps({"uri": source}),
                profile=json.dumps(profile),
            )
            inputs.append(DatasetInput(dataset, [InputTag("mlflow.data.context", context)]))
        self._client.log_inputs(self.run_id, datasets=inputs)

    def _send(self) -> None:
        from mlflow.entities import Metric

        assert self._client is not None
        now = int(time.time() * 1000)
        metrics = [
            Metric(name, value, now, measurement.epoch)
            for measurement in self._unsent
            for name, value in measurement.metrics.items()
        ]
        for start in range(0, len(metrics), _MOST_METRICS):
            self._client.log_batch(self.run_id, metrics=metrics[start : start + _MOST_METRICS])
        self._unsent.clear()
        self._sent_at = time.monotonic()

    def _finish(self, record: RunRecord, files: list[Path]) -> None:
        from mlflow.entities import Metric, RunTag

        assert self._client is not None
        self._send()
        now = int(time.time() * 1000)
        metrics = [Metric(f"run/{name}", value, now, 0) for name, value in record.summary.items()]
        tags = [RunTag("gsnr.state", record.state)]
        if record.error:
            tags.append(RunTag("gsnr.error", record.error[:_LONGEST_PARAM]))
        missing = sorted({name for m in record.measurements for name in m.nonfinite})
        if missing:
            tags.append(RunTag("gsnr.nonfinite", ", ".join(missing)[:5000]))
        self._client.log_batch(self.run_id, metrics=metrics, tags=tags)
        for file in files:
            if file.is_file():
                self._client.log_artifact(self.run_id, str(file))
        self._client.set_terminated(
            self.run_id, "FINISHED" if record.state == "finished" else "FAILED"
        )


def _log_params(client: MlflowClient, run_id: str, params: Mapping[str, Any]) -> None:
    from mlflow.entities import Param

    entries = [Param(key, str(value)[:_LONGEST_PARAM]) for key, value in params.items()]
    for start in range(0, len(entries), _MOST_PARAMS):
        client.log_batch(run_id, params=entries[start : start + _MOST_PARAMS])


def _user_tags() -> dict[str, str]:
    import getpass

    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return {"mlflow.user": user, "mlflow.source.name": "gsnr-sweep", "mlflow.source.type": "LOCAL"}
