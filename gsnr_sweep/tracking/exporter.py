"""Sending runs to MLflow from what lies on disk.

The records on disk are the truth, and runs know nothing of MLflow: one process for each sweep sends
what has changed in the runs' folders. Everything may be sent twice: values carry the time when they
were measured, and MLflow keeps equal ones once. Only `MlflowClient` is used, never MLflow's active
run, so that one process can serve many runs.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import time
import traceback
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gsnr_sweep.config.schema import TrackingConfig
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.records.record import RECORD_FILE, RunRecord, flatten
from gsnr_sweep.records.sent import Sent, read_sent, record_digest
from gsnr_sweep.records.state import State
from gsnr_sweep.tracking.store import (
    HASH_TAG,
    KEY_TAG,
    KIND_TAG,
    MLFLOW_STATUS,
    PARENT_TAG,
    STATE_TAG,
    legal_name,
    log_params,
    open_store,
    store_problem,
    user_tags,
)
from gsnr_sweep.tracking.uri import recorded_store, without_password, without_passwords
from gsnr_sweep.wording import printable

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

log = logging.getLogger(__name__)

_MOST_METRICS = 1000
_LONGEST_TAG = 5000
_REFUSALS = (
    *("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "INVALID_STATE"),
    *("RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"),
)


class Exporter:
    """Sends runs to MLflow; if that fails, their records stay on disk and may be sent later.

    Attributes:
        away: Whether what failed last was the store as a whole, not something about one run.
    """

    def __init__(self, launch_folder: Path) -> None:
        """Prepare; nothing is opened yet.

        Args:
            launch_folder: Holds the default tracking store.
        """
        self.away = False
        self._launch_folder = launch_folder
        self._stores: dict[tuple[str, str], tuple[MlflowClient, str]] = {}
        self._opened: set[str] = set()

    def send(self, folder: Path) -> str:
        """Send what MLflow lacks of a run, under way or over.

        Args:
            folder: The run's folder.

        Returns:
            Why MLflow does not have everything that is on disk; empty if it has, and if there is
            nothing to send: no record yet, or a run with ``tracking=none``.
        """
        digest = record_digest(folder)  # first: what is written meanwhile is sent the next time
        sent = read_sent(folder)
        if not digest or sent.digest == digest:
            return ""
        try:
            record = RunRecord.read(folder / RECORD_FILE)
            cfg = _tracking(record)
            if cfg.name == "mlflow":
                self._send(folder, record, cfg, sent)
                sent.digest = digest
                with contextlib.suppress(GsnrError):  # a full disk: it is sent again, at worst
                    sent.write(folder)
        except Exception as error:
            log.info("MLflow: %s\n%s", folder, without_password(traceback.format_exc()))
            self.away = not _is_about_the_run(error)
            return f"MLflow: {store_problem(error)}"
        return ""

    def send_all(self, folders: Iterable[Path]) -> tuple[int, str]:
        """Send several runs; where the store is away, none after the first is tried.

        Returns:
            How many could not be sent, and why; 0 and an empty text if all is well.
        """
        waiting, unsent, why = list(folders), 0, ""
        for done, folder in enumerate(waiting):
            if problem := self.send(folder):
                unsent, why = unsent + 1, why or problem
                if self.away:
                    return unsent + len(waiting) - done - 1, problem
        return unsent, why

    def _send(self, folder: Path, record: RunRecord, cfg: TrackingConfig, sent: Sent) -> None:
        """Send a run and note in `sent` what was."""
        client, experiment_id = self._store(cfg)
        data = "+".join(str(record.data[key]) for key in _DIGESTS) if record.data else ""
        keys = [measurement.key for measurement in record.measurements]
        if sent.run_id and (not set(sent.measurements) <= set(keys) or _differ(sent.data, data)):
            _abandon(client, sent)
        if sent.run_id not in self._opened:
            run = _find(client, sent.run_id) or self._find_by_key(client, folder, cfg, sent)
            if run is None:
                run = self._create(client, experiment_id, folder, record, cfg, sent)
            if run.info.run_id != sent.run_id:  # of the former one, nothing is there
                sent.run_id, sent.state, sent.data, sent.measurements = run.info.run_id, "", "", []
                with contextlib.suppress(GsnrError):
                    sent.write(folder)
            _describe(client, run, record)
            self._opened.add(sent.run_id)
        if record.state.under_way and sent.state != record.state:
            client.update_run(sent.run_id, status="RUNNING")
            client.set_tag(sent.run_id, STATE_TAG, record.state)
        if data and sent.data != data:
            _log_data(client, sent.run_id, record.data)
        _log_measurements(client, sent.run_id, record, set(sent.measurements))
        if record.state in MLFLOW_STATUS:
            _close(client, sent.run_id, record, artifact_files(folder))
        sent.state, sent.data, sent.measurements = record.state, data, keys

    def _store(self, cfg: TrackingConfig) -> tuple[MlflowClient, str]:
        where = (recorded_store(cfg, self._launch_folder), cfg.experiment)
        if where not in self._stores:
            self._stores[where] = open_store(*where)
        return self._stores[where]

    def _find_by_key(
        self, client: MlflowClient, folder: Path, cfg: TrackingConfig, sent: Sent
    ) -> Run | None:
        """Find the run if an earlier call created it and its answer was lost."""
        _, experiment_id = self._store(cfg)
        condition = f"tags.`{KEY_TAG}` = '{_key(folder, cfg, sent)}'"
        found = client.search_runs([experiment_id], condition, max_results=1)
        return found[0] if found else None

    def _create(
        self,
        client: MlflowClient,
        experiment_id: str,
        folder: Path,
        record: RunRecord,
        cfg: TrackingConfig,
        sent: Sent,
    ) -> Run:
        tags = {KIND_TAG: "run", HASH_TAG: record.config_hash, **user_tags()}
        tags |= {KEY_TAG: _key(folder, cfg, sent), STATE_TAG: str(State.RUNNING)}
        if cfg.parent_run_id:
            tags[PARENT_TAG] = cfg.parent_run_id
        return client.create_run(experiment_id, run_name=record.name, tags=tags)


_DIGESTS = ("train_digest", "test_digest")


def artifact_files(folder: Path) -> list[Path]:
    """Return what MLflow keeps of a run's folder: files of it, not what links lead to."""
    files = [folder / RECORD_FILE, folder / "run.log", *sorted((folder / ".hydra").glob("*.yaml"))]
    return [file for file in files if not file.is_symlink()]


def _is_about_the_run(error: Exception) -> bool:
    """Tell whether a run's content was refused or cannot be read, so that others may be sent."""
    from mlflow.exceptions import MlflowException

    if isinstance(error, MlflowException):
        return error.error_code in _REFUSALS
    return isinstance(error, KeyError | ValueError | TypeError)


def _tracking(record: RunRecord) -> TrackingConfig:
    known = {item.name for item in fields(TrackingConfig)}
    settings = record.config["tracking"]
    return TrackingConfig(**{key: value for key, value in settings.items() if key in known})


def _key(folder: Path, cfg: TrackingConfig, sent: Sent) -> str:
    """Return what tells a run from all others: where it lies, and the sweep that it belongs to."""
    name = f"{folder.resolve()} {cfg.parent_run_id or ''}".strip()
    name += f" restart {sent.restarts}" if sent.restarts else ""
    return hashlib.sha256(name.encode()).hexdigest()[:32]  # a folder's name may hold quotes


def _differ(before: str, now: str) -> bool:
    return bool(before and now) and before != now


def _abandon(client: MlflowClient, sent: Sent) -> None:
    """Leave what was sent to the run that it belongs to, and go on in a fresh one."""
    if (run := _find(client, sent.run_id)) is not None and run.info.status == "RUNNING":
        client.set_terminated(sent.run_id, "KILLED")
    sent.run_id, sent.state, sent.data, sent.measurements = "", "", "", []
    sent.restarts += 1


def _find(client: MlflowClient, run_id: str) -> Run | None:
    """Return a run; None if the store was exchanged or the run deleted by hand."""
    from mlflow.exceptions import MlflowException

    if not run_id:
        return None
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    return run if run.info.lifecycle_stage == "active" else None


def _describe(client: MlflowClient, run: Run, record: RunRecord) -> None:
    """Log the parameters that the run lacks, and where and by which code it is computed."""
    params, known = flatten(without_passwords(record.config)), run.data.params
    log_params(
        client,
        run.info.run_id,
        {k: v for k, v in params.items() if legal_name(k) not in known},
    )
    _log_tags(client, run.info.run_id, {f"gsnr.{k}": v for k, v in record.environment.items()})


def _log_tags(client: MlflowClient, run_id: str, tags: dict[str, str]) -> None:
    from mlflow.entities import RunTag

    client.log_batch(
        run_id, tags=[RunTag(name, printable(text)[:_LONGEST_TAG]) for name, text in tags.items()]
    )


def _log_data(client: MlflowClient, run_id: str, data: dict[str, Any]) -> None:
    """Log the data sets as the run's inputs; MLflow keeps one input a name and digest."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs = []
    for context, digest, size, count in (
        ("training", data["train_digest"], data["train_size"], data["train_sets"]),
        ("testing", data["test_digest"], data["test_size"], 1),
    ):
        dataset = Dataset(
            name=f"{data['name']} {context}",
            digest=digest,
            source_type="local",
            source=json.dumps({"uri": data["source"]}),
            profile=json.dumps({"samples": size, "sets": count}),
        )
        inputs.append(DatasetInput(dataset, [InputTag("mlflow.data.context", context)]))
    try:
        client.log_inputs(run_id, datasets=inputs)
    except Exception as error:
        if not _is_conflict(error):
            raise
        client.log_inputs(run_id, datasets=inputs)  # they are there now


def _is_conflict(error: BaseException | None) -> bool:
    """Tell whether a database refused a row because another process has just written the same.

    MLflow looks whether a data set is known before it writes it: of two sweeps that send the same
    sets in the same moment, both find them missing and one is refused.
    """
    from sqlalchemy.exc import IntegrityError

    while error is not None:
        if isinstance(error, IntegrityError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _log_measurements(
    client: MlflowClient, run_id: str, record: RunRecord, known: set[str]
) -> None:
    from mlflow.entities import Metric

    metrics = [
        Metric(legal_name(name), value, measurement.time_ms, measurement.epoch)
        for measurement in record.measurements
        if measurement.key not in known
        for name, value in measurement.metrics.items()
    ]
    for start in range(0, len(metrics), _MOST_METRICS):
        client.log_batch(run_id, metrics=metrics[start : start + _MOST_METRICS])


def _close(client: MlflowClient, run_id: str, record: RunRecord, files: list[Path]) -> None:
    """Log what is known at the end, and end the MLflow run."""
    from mlflow.entities import Metric

    tags = {STATE_TAG: str(record.state)}
    if record.error or record.state == State.FINISHED:
        tags["gsnr.error"] = record.error
    if missing := sorted({name for m in record.measurements for name in m.nonfinite}):
        tags["gsnr.nonfinite"] = ", ".join(missing)
    if record.state == State.DIVERGED:
        tags["gsnr.diverged_at"] = str(record.measurements[-1].epoch)
    _log_tags(client, run_id, tags)
    summary = record.summary if record.state.over else {}
    now = record.measurements[-1].time_ms if record.measurements else int(time.time() * 1000)
    metrics = [Metric(f"run/{name}", value, now, 0) for name, value in summary.items()]
    client.log_batch(run_id, metrics=metrics)
    for file in files:
        if file.is_file():
            client.log_artifact(run_id, str(file))
    client.set_terminated(run_id, MLFLOW_STATUS[record.state])
