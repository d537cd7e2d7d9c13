"""The one place that writes to MLflow.

A sweep is a parent run, each grid point a child of it. Only `MlflowClient` is used, never MLflow's
active run, so that a process can serve many runs and a run needs no process of its own.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gsnr_sweep.config.schema import TrackingConfig
from gsnr_sweep.records.record import RECORD_FILE, Measurement, RunRecord, flatten
from gsnr_sweep.records.state import State
from gsnr_sweep.tracking.circuit_breaker import CircuitBreaker
from gsnr_sweep.tracking.store import (
    _PARENT_TAG,
    HASH_TAG,
    KEY_TAG,
    KIND_TAG,
    MLFLOW_STATUS,
    STATE_TAG,
    _first_line,
    _user_tags,
    open_store,
)
from gsnr_sweep.tracking.uri import tracking_uri, without_password

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

_MOST_PARAMS = 100
_MOST_METRICS = 1000
_LONGEST_PARAM = 6000
_SECONDS_BETWEEN_SENDS = 5.0


@contextmanager
def _surviving(run: str) -> Iterator[None]:
    """Go on if the store fails: the other runs of a sweep must not be lost with it."""
    try:
        yield
    except Exception as error:
        log.warning("MLflow: %s could not be changed (%s)", run, _first_line(error))


class RunTracker:
    """One run in MLflow.

    Nothing here may end a run: if the store fails, the run goes on, its record is on disk, and
    `problem` says what happened. Everything may be sent twice: values carry the time when they were
    measured, and MLflow keeps equal ones once.
    """

    def __init__(
        self,
        cfg: TrackingConfig,
        folder: Path,
        run_id: str = "",
        breaker: CircuitBreaker | None = None,
        key: str = "",
        may_exist: bool = False,
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            cfg: Store, experiment and parent run.
            folder: Where the default store is.
            run_id: The MLflow run of an earlier attempt, to be continued; empty for a new one.
            breaker: What other runs of this process know of the store; None if there are none.
            key: What tells this run from all others, by which it is found again if the answer to
                its creation was lost; empty for a time.
            may_exist: Whether somebody may have created it before.
        """
        self._key = key
        self._may_exist = may_exist
        self._cfg = cfg
        self._outage = breaker or CircuitBreaker()
        self._folder = folder
        self._client: MlflowClient | None = None
        self._unsent: list[Measurement] = []
        self._missed: list[tuple[Any, tuple[Any, ...]]] = []
        self._sent_at = time.monotonic()
        self.run_id = run_id
        self.problem = "" if cfg.name == "mlflow" else "tracking=none"

    def start(self, record: RunRecord) -> None:
        """Create the run with its parameters and tags, or open it again."""
        self._unsent += record.measurements
        self._attempt(self._start, record)

    def start_anew(self, record: RunRecord) -> None:
        """Leave what was sent to the run that it belongs to, and go on in a fresh one."""
        self._unsent.clear()
        if self.run_id:
            self._attempt(self._abandon)
        self.run_id, self._may_exist = "", False
        self._key = f"{self._key} {record.started}"
        self._attempt(self._start, record)
        self.describe_data(record.data)

    def _abandon(self) -> None:
        assert self._client is not None
        self._client.set_terminated(self.run_id, "KILLED")

    def describe_data(self, data: Mapping[str, Any]) -> None:
        """Log the data sets as the run's inputs.

        Args:
            data: Name, source, digests and sizes, as in `RunRecord.data`. The digests must differ:
                MLflow keeps one input a name and digest.
        """
        if data:
            self._attempt(self._log_data, data)

    def measured(self, measurement: Measurement) -> None:
        """Log metrics, at once or soon."""
        self._unsent.append(measurement)
        if time.monotonic() - self._sent_at > _SECONDS_BETWEEN_SENDS:
            self._attempt(self._send)

    def finish(self, record: RunRecord, files: list[Path]) -> None:
        """Send what is left and close the run; what failed on the way is tried once more."""
        missed, self._missed = self._missed, []
        if missed:
            self.problem = self._outage.problem if self._outage.lasts else ""
        for action, arguments in missed:
            self._attempt(action, *arguments)
        self._attempt(self._finish, record, files)

    def _attempt(self, action: Any, *arguments: Any) -> None:
        if self._cfg.name != "mlflow":
            return
        if not self.problem and self._outage.lasts:
            self.problem = self._outage.problem
        if self.problem:
            self._missed.append((action, arguments))
            return
        try:
            action(*arguments)
            self._outage.end()
        except Exception as error:
            self._missed.append((action, arguments))
            self.problem = f"MLflow: {_first_line(error)}"
            self._outage.begin(self.problem)
            log.info("%s; the record stays on disk", self.problem, exc_info=True)

    def _start(self, record: RunRecord) -> None:
        uri = tracking_uri(self._cfg, self._folder)
        self._client, experiment_id = open_store(uri, self._cfg.experiment)
        if self.run_id and not self._exists():
            self.run_id = ""  # the store was exchanged or the run deleted by hand
        if self.run_id:
            self._client.update_run(self.run_id, status="RUNNING")
            self._client.set_tag(self.run_id, STATE_TAG, State.RUNNING)
        else:
            self.run_id = self._find_or_create(experiment_id, record)
        params = flatten(record.config)
        params["tracking.uri"] = without_password(str(params.get("tracking.uri")))
        _log_params(self._client, self.run_id, params)

    def _exists(self) -> bool:
        from mlflow.exceptions import MlflowException

        assert self._client is not None
        try:
            return bool(self._client.get_run(self.run_id).info.lifecycle_stage == "active")
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise

    def _find_or_create(self, experiment_id: str, record: RunRecord) -> str:
        """Create the run, unless an earlier call did and its answer was lost."""
        assert self._client is not None
        named = self._key or f"{record.config_hash} {record.started}"
        key = hashlib.sha256(named.encode()).hexdigest()[:32]  # a folder's name may hold quotes
        if self._may_exist:
            condition = f"tags.`{KEY_TAG}` = '{key}'"
            if found := self._client.search_runs([experiment_id], condition, max_results=1):
                return str(found[0].info.run_id)
        tags = {KIND_TAG: "run", HASH_TAG: record.config_hash, KEY_TAG: key, **_user_tags()}
        tags[STATE_TAG] = State.RUNNING
        tags.update({f"gsnr.{key}": value for key, value in record.environment.items()})
        if self._cfg.parent_run_id:
            tags[_PARENT_TAG] = self._cfg.parent_run_id
        self._may_exist = True  # from here on, even if no answer comes
        run = self._client.create_run(experiment_id, run_name=record.name, tags=tags)
        return str(run.info.run_id)

    def _log_data(self, data: Mapping[str, Any]) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        assert self._client is not None
        inputs = []
        for context, digest, size, count in (
            ("training", data["train_digest"], data["train_size"], data["train_sets"]),
            ("testing", data["test_digest"], data["test_size"], 1),
        ):
            profile = {"samples": size, "sets": count}
            dataset = Dataset(
                name=f"{data['name']} {context}",
                digest=digest,
                source_type="local",
                source=json.dumps({"uri": data["source"]}),
                profile=json.dumps(profile),
            )
            inputs.append(DatasetInput(dataset, [InputTag("mlflow.data.context", context)]))
        try:
            self._client.log_inputs(self.run_id, datasets=inputs)
        except Exception as error:
            if not _is_conflict(error):
                raise
            self._client.log_inputs(self.run_id, datasets=inputs)  # they are there now

    def _send(self) -> None:
        from mlflow.entities import Metric

        assert self._client is not None
        metrics = [
            Metric(name, value, measurement.time_ms, measurement.epoch)
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
        tags = [RunTag(STATE_TAG, record.state)]
        if record.error or record.state == State.FINISHED:
            tags.append(RunTag("gsnr.error", record.error[:_LONGEST_PARAM]))
        missing = sorted({name for m in record.measurements for name in m.nonfinite})
        if missing:
            tags.append(RunTag("gsnr.nonfinite", ", ".join(missing)[:5000]))
        if record.state == State.DIVERGED:
            tags.append(RunTag("gsnr.diverged_at", str(record.measurements[-1].epoch)))
        summary = record.summary if record.state.over else {}
        now = record.measurements[-1].time_ms if record.measurements else int(time.time() * 1000)
        metrics = [Metric(f"run/{name}", value, now, 0) for name, value in summary.items()]
        self._client.log_batch(self.run_id, metrics=metrics, tags=tags)
        for file in files:
            if file.is_file():
                self._client.log_artifact(self.run_id, str(file))
        self._client.set_terminated(self.run_id, MLFLOW_STATUS[record.state])


def _is_conflict(error: BaseException | None) -> bool:
    """Tell whether a database refused a row because another process has just written the same.

    MLflow looks whether a data set is known before it writes it: of two runs that start in the same
    moment with the same sets, both find them missing and one is refused.
    """
    from sqlalchemy.exc import IntegrityError

    while error is not None:
        if isinstance(error, IntegrityError):
            return True
        error = error.__cause__ or error.__context__
    return False


def run_key(folder: Path, cfg: TrackingConfig) -> str:
    """Return what tells a run from all others: where it lies, and the sweep that it belongs to."""
    return f"{folder.resolve()} {cfg.parent_run_id or ''}".strip()


def artifact_files(folder: Path) -> list[Path]:
    """Return what MLflow keeps of a run's folder."""
    return [folder / RECORD_FILE, folder / "run.log", *sorted((folder / ".hydra").glob("*.yaml"))]


def _log_params(client: MlflowClient, run_id: str, params: Mapping[str, Any]) -> None:
    from mlflow.entities import Param

    entries = [Param(key, str(value)[:_LONGEST_PARAM]) for key, value in params.items()]
    for start in range(0, len(entries), _MOST_PARAMS):
        client.log_batch(run_id, params=entries[start : start + _MOST_PARAMS])
