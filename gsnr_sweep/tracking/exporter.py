"""Sending runs to MLflow from what lies on disk.

The records on disk are the truth, and runs know nothing of MLflow: one process for each sweep sends
what has changed in the runs' folders. Everything may be sent twice: values carry the time when they
were measured, and MLflow keeps equal ones once. Only `MlflowClient` is used, never MLflow's active
run, so that one process can serve many runs.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import time
import traceback
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from gsnr_sweep.config.schema import TrackingConfig
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.records.record import RECORD_FILE, RunRecord, flatten, read_record
from gsnr_sweep.records.sent import Sent, read_sent, record_digest
from gsnr_sweep.records.state import State
from gsnr_sweep.tracking.data_sets import inputs_of
from gsnr_sweep.tracking.query import readable_store_errors
from gsnr_sweep.tracking.run_ids import present
from gsnr_sweep.tracking.run_writer import (
    LONGEST_NAME,
    RunDeletedError,
    RunWriter,
    find_run,
    is_refusal,
    legal_name,
)
from gsnr_sweep.tracking.store import (
    HASH_TAG,
    KEY_TAG,
    KIND_TAG,
    MLFLOW_STATUS,
    PARENT_TAG,
    STATE_TAG,
    open_store,
    store_problem,
    user_tags,
)
from gsnr_sweep.tracking.uri import recorded_store, without_password, without_passwords

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

log = logging.getLogger(__name__)


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
            self._opened.discard(sent.run_id)  # it may have been deleted
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

    def lost(self, folders: Iterable[Path]) -> list[Path]:
        """Return the runs that were sent and that MLflow lacks: deleted by hand, or purged.

        Raises:
            GsnrError: A store cannot be read.
        """
        sent: dict[tuple[str, str], dict[str, Path]] = {}
        for folder in folders:
            run_id, record = read_sent(folder).run_id, read_record(folder)
            if run_id and record is not None and "tracking" in record.config:
                sent.setdefault(self._where(_tracking(record)), {})[run_id] = folder
        found: set[str] = set()
        for (uri, experiment), known in sent.items():
            client, experiment_id = self._opened_store(uri, experiment)
            with readable_store_errors(uri):
                found |= present(client, experiment_id, list(known))
        return [f for known in sent.values() for run_id, f in known.items() if run_id not in found]

    def _send(self, folder: Path, record: RunRecord, cfg: TrackingConfig, sent: Sent) -> None:
        """Send a run and note in `sent` what was."""
        client, experiment_id = self._store(cfg)
        data = "+".join(str(record.data[key]) for key in _DIGESTS) if record.data else ""
        keys = [measurement.key for measurement in record.measurements]
        if sent.run_id and (not set(sent.measurements) <= set(keys) or _differ(sent.data, data)):
            _abandon(client, sent)
        remarks = dict.fromkeys(sent.remarks)
        if sent.run_id not in self._opened:
            run = find_run(client, sent.run_id) or self._find_by_key(client, folder, cfg, sent)
            if run is None:
                run = self._create(client, experiment_id, folder, record, cfg, sent)
            if run.info.run_id != sent.run_id:  # of the former one, nothing is there
                sent.begin(run.info.run_id)
                with contextlib.suppress(GsnrError):
                    sent.write(folder)
            _describe(RunWriter(client, sent.run_id, remarks), run, record)
            self._opened.add(sent.run_id)
        writer = RunWriter(client, sent.run_id, remarks)
        if record.state.under_way and sent.state != record.state:
            client.update_run(sent.run_id, status="RUNNING")
            client.set_tag(sent.run_id, STATE_TAG, record.state)
        if data and sent.data != data:
            writer.inputs(inputs_of([record.data]))
        _log_measurements(writer, record, set(sent.measurements))
        if record.state in MLFLOW_STATUS:
            _close(writer, record, artifact_files(folder))
        sent.state, sent.data, sent.measurements = record.state, data, keys
        sent.remarks = list(remarks)

    def _where(self, cfg: TrackingConfig) -> tuple[str, str]:
        return recorded_store(cfg, self._launch_folder), cfg.experiment

    def _store(self, cfg: TrackingConfig) -> tuple[MlflowClient, str]:
        return self._opened_store(*self._where(cfg))

    def _opened_store(self, uri: str, experiment: str) -> tuple[MlflowClient, str]:
        if (uri, experiment) not in self._stores:
            self._stores[uri, experiment] = open_store(uri, experiment)
        return self._stores[uri, experiment]

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
        return client.create_run(experiment_id, run_name=record.name[:LONGEST_NAME], tags=tags)


_DIGESTS = ("train_digest", "test_digest")


def artifact_files(folder: Path) -> list[Path]:
    """Return what MLflow keeps of a run's folder: files of it, not what links lead to."""
    files = [folder / RECORD_FILE, folder / "run.log", *sorted((folder / ".hydra").glob("*.yaml"))]
    return [file for file in files if not file.is_symlink()]


def _is_about_the_run(error: Exception) -> bool:
    """Tell whether a run's content was refused or cannot be read, so that others may be sent."""
    from mlflow.exceptions import MlflowException

    if isinstance(error, MlflowException):
        return is_refusal(error) or error.error_code == "RESOURCE_DOES_NOT_EXIST"
    return isinstance(error, KeyError | ValueError | TypeError | RunDeletedError)


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
    if (run := find_run(client, sent.run_id)) is not None and run.info.status == "RUNNING":
        client.set_terminated(sent.run_id, "KILLED")
    sent.begin("")
    sent.restarts += 1


def _describe(writer: RunWriter, run: Run, record: RunRecord) -> None:
    """Log the parameters that the run lacks, and where and by which code it is computed."""
    params = flatten(without_passwords(record.config))
    writer.params({k: v for k, v in params.items() if legal_name(k) not in run.data.params})
    writer.tags({f"gsnr.{k}": v for k, v in record.environment.items()})


def _log_measurements(writer: RunWriter, record: RunRecord, known: set[str]) -> None:
    writer.metrics(
        (name, value, measurement.time_ms, int(measurement.epoch))
        for measurement in record.measurements
        if measurement.key not in known
        for name, value in measurement.metrics.items()
    )


def _close(writer: RunWriter, record: RunRecord, files: list[Path]) -> None:
    """Log what is known at the end, and end the MLflow run."""
    summary = record.summary if record.state.over else {}
    now = record.measurements[-1].time_ms if record.measurements else int(time.time() * 1000)
    writer.metrics((f"run/{name}", value, now, 0) for name, value in summary.items())
    for file in filter(Path.is_file, files):
        writer.file(file)
    tags = {STATE_TAG: str(record.state)}
    if record.error or record.state == State.FINISHED:
        tags["gsnr.error"] = record.error
    if record.stopped_by:
        tags["gsnr.stopped_by"] = record.stopped_by
    if missing := sorted({name for m in record.measurements for name in m.nonfinite}):
        tags["gsnr.nonfinite"] = ", ".join(missing)
    if told := [text for m in record.measurements[-1:] for text in m.undefined]:
        tags["gsnr.undefined"] = "; ".join(told)
    if record.state == State.DIVERGED:
        tags["gsnr.diverged_at"] = str(record.measurements[-1].epoch)
    if writer.remarks:
        tags["gsnr.remarks"] = "; ".join(writer.remarks)
    writer.tags(tags)
    writer.client.set_terminated(writer.run_id, MLFLOW_STATUS[record.state])
