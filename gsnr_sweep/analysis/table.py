"""The runs of a sweep as one long table: a row for each run and epoch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse
from urllib.request import url2pathname

from gsnr_sweep.analysis.preset import Preset
from gsnr_sweep.config.schema import LAUNCH_KEYS
from gsnr_sweep.records.record import RECORD_FILE, Measurement, RunRecord, flatten
from gsnr_sweep.records.state import State
from gsnr_sweep.tracking.query import SHORT_ID, find_sweep, first_line
from gsnr_sweep.wording import printable

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from pandas import DataFrame

IDENTITY = ("run_id", "name", "state", "config_hash")
SETTINGS = (
    *("n", "p_random", "ch", "n_sets", "n_test", "epochs", "lr", "seed"),
    *("data", "model", "init"),
)
"""Settings that are always shown; of the others only those that vary."""
SHOWN_IF_SET = ("model.frozen",)
"""Settings that are shown where a run has them: they change what the metrics mean."""
_UNSET = (None, "[]")
SHORT_NAMES = {"data.name": "data", "model.name": "model", "model.init": "init"}
DOWNLOADS_AT_ONCE = 8
UNFINISHED = "still running or killed hard"


@dataclass(frozen=True)
class LeftOut:
    """A run that the table does not hold, and why."""

    run_id: str
    name: str
    reason: str

    def __str__(self) -> str:
        known = f" ({self.run_id[:SHORT_ID]})" if self.run_id else ""
        return f"{self.name}{known}: {self.reason}"


@dataclass(frozen=True)
class SweepTable:
    """The measurements of the finished runs of a sweep.

    Attributes:
        name: Name of the sweep or experiment.
        parent_id: Run id of the sweep; None for an experiment.
        frame: One row a run and epoch. Columns: ``run_id`` (without a tracking store
            the run's identity), ``name``, ``state``, ``config_hash``, the settings, ``epoch`` (with
            ``step`` where an epoch has several, ``is_end`` and ``stopped_by`` where stopping rules
            were asked for), the metrics (NaN where not finite or not measured) and ``nonfinite``,
            the names of those metrics that were NaN or infinite, by spaces.
        settings: The columns that hold settings.
        metrics: The columns that hold metrics.
        runs: Number of runs in the frame.
        left_out: The runs that did not finish.
        records: Run id and record of each run in the frame.
        preset: The experiment of the paper that the sweep is, and the figures to draw of it.
        launch_folder: Where it was launched, and the user's own modules may lie; empty if unknown.
    """

    name: str
    parent_id: str | None
    frame: DataFrame
    settings: tuple[str, ...]
    metrics: tuple[str, ...]
    runs: int
    left_out: tuple[LeftOut, ...]
    records: tuple[tuple[str, RunRecord], ...] = ()
    preset: Preset = Preset()
    launch_folder: str = ""

    @cached_property
    def arrays(self) -> DataFrame:
        """One row a run, epoch, array and place in it, with ``value`` (NaN where not finite)."""
        from pandas import DataFrame, to_numeric

        rows = [
            (run_id, measurement.epoch, name, index, value)
            for run_id, record in self.records
            for measurement in record.measurements
            for name, values in measurement.arrays.items()
            for index, value in enumerate(values)
        ]
        frame = DataFrame(rows, columns=["run_id", "epoch", "array", "index", "value"])
        return frame.assign(value=to_numeric(frame["value"]))


def read_sweep(client: MlflowClient, sweep: str) -> SweepTable:
    """Read all finished runs of a sweep from the ``record.json`` of each.

    Args:
        client: Client of the store that holds the sweep.
        sweep: A run id, the unique start of one, the name of a sweep's parent run, or the name of
            an experiment, which stands for all its runs.

    Raises:
        GsnrError: There is no such sweep, or the store does not answer.
    """
    found = find_sweep(client, sweep)
    kept: list[tuple[str, RunRecord]] = []
    left_out: list[LeftOut] = []
    for run, record in zip(found.runs, read_records(client, found.runs), strict=True):
        if isinstance(record, RunRecord) and record.state == State.FINISHED and record.measurements:
            kept.append((run.info.run_id, record))
        else:
            reason = record if isinstance(record, str) else what_became_of(record)
            left_out.append(LeftOut(run.info.run_id, run.info.run_name or "", reason))
    return table_of(found.name, found.parent_id, kept, left_out, Preset.of_json(found.preset))


def table_of(
    name: str,
    parent_id: str | None,
    kept: Sequence[tuple[str, RunRecord]],
    left_out: Sequence[LeftOut],
    preset: Preset | None = None,
    launch_folder: str = "",
) -> SweepTable:
    """Lay out the finished runs of a sweep.

    Args:
        name: Of the sweep.
        parent_id: Its run id, None if it has none.
        kept: Run id and record of each finished run.
        left_out: The others.
        preset: What the sweep was launched as; None for no experiment of the paper.
        launch_folder: Where it was launched; empty if not known.
    """
    frame, settings, metrics = _frame(kept)
    return SweepTable(
        name,
        parent_id,
        frame,
        settings,
        metrics,
        len(kept),
        tuple(left_out),
        tuple(kept),
        preset or Preset(),
        launch_folder,
    )


def read_records(client: MlflowClient, runs: Sequence[Run]) -> list[RunRecord | str]:
    """Read every run's record, or say why there is none.

    Records on this machine are read in place, others downloaded a few at a time.
    """
    with TemporaryDirectory() as temporary, ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
        waiting = [
            pool.submit(_read_record, run, folder)
            if (folder := _local_folder(run.info.artifact_uri))
            else pool.submit(_download, client, run, Path(temporary))
            for run in runs
        ]
        return [one.result() for one in waiting]


def _local_folder(artifact_uri: str) -> Path | None:
    """Return the folder of an artifact URI on this machine's file system, else None."""
    parts = urlparse(artifact_uri)
    if parts.scheme == "":
        return Path(artifact_uri)
    return Path(url2pathname(parts.path)) if parts.scheme == "file" else None


def _download(client: MlflowClient, run: Run, temporary: Path) -> RunRecord | str:
    """Fetch and read the record of a run whose artifacts lie elsewhere."""
    from mlflow.exceptions import MlflowException

    folder = temporary / run.info.run_id
    folder.mkdir()
    try:
        client.download_artifacts(run.info.run_id, RECORD_FILE, str(folder))
    except (MlflowException, OSError) as error:
        return f"{_status(run)}, and its record could not be fetched: {first_line(error)}"
    return _read_record(run, folder)


def _read_record(run: Run, folder: Path) -> RunRecord | str:
    return read_record(folder, _status(run))


def read_record(folder: Path, status: str) -> RunRecord | str:
    """Read the record in a folder, or say why there is none.

    Args:
        folder: The folder.
        status: What is known of the run, in words.
    """
    path = folder / RECORD_FILE
    if not path.is_file():
        return f"{status}, and there is no record of it"
    try:
        return RunRecord.read(path)
    except (OSError, ValueError) as error:
        return f"{status}, but its record cannot be read: {first_line(error)}"


def _status(run: Run) -> str:
    """Return what MLflow knows of a run; one that was killed hard stays RUNNING for ever."""
    status = str(run.info.status)
    return UNFINISHED if status == "RUNNING" else status.lower()


def what_became_of(record: RunRecord) -> str:
    """Say how a run ended that has a record and is not aggregated."""
    if record.state == State.FINISHED:
        return "finished without a single measurement"
    state = UNFINISHED if record.state == State.RUNNING else record.state
    count = len(record.measurements)
    return f"{state} after {count} measured epoch{'' if count == 1 else 's'}"


def _frame(
    records: Sequence[tuple[str, RunRecord]],
) -> tuple[DataFrame, tuple[str, ...], tuple[str, ...]]:
    """Lay the records out as one table; return it with the names of settings and metrics."""
    from pandas import DataFrame

    flat = [_settings(record) for _, record in records]
    shown = _shown_settings(flat)
    measurements = [m for _, record in records for m in record.measurements]
    metrics = dict.fromkeys(n for m in measurements for n in (*m.metrics, *m.nonfinite))
    progress = _progress([record for _, record in records])
    taken = {*IDENTITY, *shown, *progress, "nonfinite"}
    column = {n: f"metric.{n}" if n in taken else printable(n) for n in metrics}
    rows = [
        {
            "run_id": run_id,
            "name": printable(record.name),
            "state": record.state,
            "config_hash": record.config_hash,
            **{key: settings.get(key) for key in shown},
            **{name: value for name, value in _when(record, measurement) if name in progress},
            **{column[name]: value for name, value in measurement.metrics.items()},
            "nonfinite": printable(" ".join(measurement.nonfinite)),
        }
        for (run_id, record), settings in zip(records, flat, strict=True)
        for measurement in record.measurements
    ]
    order = [*IDENTITY, *shown, *progress, *column.values(), "nonfinite"]
    return DataFrame(rows, columns=order), tuple(shown), tuple(column.values())


def _when(record: RunRecord, measurement: Measurement) -> list[tuple[str, Any]]:
    return [
        ("epoch", measurement.epoch),
        ("step", measurement.step),
        ("is_end", measurement.is_end),
        ("stopped_by", record.stopped_by),
    ]


def _progress(records: Sequence[RunRecord]) -> list[str]:
    """Return the columns that say when: steps where an epoch has several, ends where some stop."""
    steps = any(m.step not in (None, m.epoch) for record in records for m in record.measurements)
    stops = any(record.stopped_by for record in records)
    return ["epoch", *(["step"] if steps else []), *(["is_end", "stopped_by"] if stops else [])]


def _settings(record: RunRecord) -> dict[str, Any]:
    """Return a run's settings by dotted (or short) key; lists and empty mappings as JSON text."""
    return {
        SHORT_NAMES.get(key, printable(key)): _cell(value)
        for key, value in flatten(record.config).items()
    }


def _cell(value: Any) -> Any:
    if isinstance(value, list | dict):
        return json.dumps(value)
    return printable(value) if isinstance(value, str) else value


_OF_A_LAUNCH = ("threads", "checkpoint_minutes", *LAUNCH_KEYS)  # no property of a run


def _shown_settings(flat: Sequence[dict[str, Any]]) -> list[str]:
    """Return the settings worth a column, and make the values of each of one kind."""
    keys = dict.fromkeys(key for settings in flat for key in settings)
    varying = [key for key in keys if len({settings.get(key) for settings in flat}) > 1]
    shown = [key for key in SETTINGS if key in keys]
    shown += [key for key in SHOWN_IF_SET if any(s.get(key) not in _UNSET for s in flat)]
    others = [key for key in varying if key not in shown and not key.startswith("tracking.")]
    shown += [key for key in others if key not in _OF_A_LAUNCH]
    for key in shown:
        if _mixed(settings.get(key) for settings in flat):
            for settings in flat:
                settings[key] = None if settings.get(key) is None else str(settings[key])
    return shown


def _mixed(values: Iterable[Any]) -> bool:
    """Tell whether a column of these values would hold several kinds, such as text and numbers."""
    kinds = {float if type(value) is int else type(value) for value in values if value is not None}
    return len(kinds) > 1
