"""The record of one run: everything measured, on disk before it is sent anywhere.

The record is one JSON file, replaced atomically at every measurement, so that whatever dies later
(the tracking server, this process) the numbers so far are safe. The same file is the run's
artifact in MLflow, from which sweeps are aggregated.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

from gsnr_sweep.measures.undefined import reason_of
from gsnr_sweep.records.atomic import write_atomically
from gsnr_sweep.records.reading import from_json, read_json
from gsnr_sweep.records.state import State
from gsnr_sweep.wording import printable

RECORD_FILE = "record.json"
SCHEMA = 1


@dataclass
class Measurement:
    """What was measured at one epoch.

    Attributes:
        epoch: Passes over the training set before the measured step, a fraction within one; with
            full-batch gradient descent the number of steps taken.
        metrics: Finite values by metric name.
        nonfinite: Names of the metrics that came out as NaN or infinite; JSON and MLflow hold
            neither.
        reasons: Why some of them are not defined, by name.
        time_ms: When, in milliseconds since 1970. It goes with the values wherever they are sent:
            MLflow takes the same value with the same time only once, so sending twice is harmless.
        arrays: Lists of values by name, such as one value a parameter; None stands for a value
            that is not finite. They are not sent as metrics.
        step: Steps of the training rule taken before; None in records of earlier versions.
        is_end: Whether training ended here.
    """

    epoch: float
    metrics: dict[str, float]
    nonfinite: list[str] = field(default_factory=list)
    time_ms: int = 0
    arrays: dict[str, list[float | None]] = field(default_factory=dict)
    step: int | None = None
    is_end: bool = False
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What tells this measurement from others of its run, of other attempts too."""
        return f"{self.epoch}@{self.time_ms}"

    @property
    def undefined(self) -> list[str]:
        """Why values are not defined, each reason once with the names of its values."""
        names: dict[str, list[str]] = {}
        for name, reason in self.reasons.items():
            names.setdefault(reason, []).append(name)
        return [f"{', '.join(own)}: {reason}" for reason, own in names.items()]

    @classmethod
    def from_values(
        cls,
        epoch: float,
        values: Mapping[str, float | list[float]],
        step: int | None = None,
        is_end: bool = False,
    ) -> Self:
        """Sort raw values into lists, finite numbers and others; names become printable."""
        values = {printable(name): value for name, value in values.items()}
        arrays = {name: _finite(value) for name, value in values.items() if isinstance(value, list)}
        numbers = {n: float(value) for n, value in values.items() if not isinstance(value, list)}
        finite = {name: value for name, value in numbers.items() if math.isfinite(value)}
        now = int(time.time() * 1000)
        missing = sorted(set(numbers) - set(finite))
        told = {name: printable(reason_of(value)) for name, value in values.items()}
        reasons = {name: reason for name, reason in told.items() if reason}
        return cls(epoch, finite, missing, now, arrays, step, is_end, reasons)


@dataclass
class RunRecord:
    """One run from its settings to its results.

    Attributes:
        name: Short name of the grid point, such as ``n=1000 ch=6 p=0.0``.
        config: The resolved config as plain containers.
        config_hash: Hash of the part of the config that decides the numbers.
        environment: Versions, host, device and code version.
        state: ``running``, ``finished``, ``diverged``, ``failed``, ``interrupted`` (asked to stop)
            or ``killed`` (its process died).
        started: Start in ISO 8601, UTC.
        summary: Wall times in seconds, throughput, number of parameters and the like.
        measurements: In the order of the epochs.
        error: Why the run did not finish, empty if it did.
        data: Name, source, digests and sizes of the sets.
        stopped_by: The stopping rules that ended the training, or ``epochs`` if none was met; empty
            if none was asked for.
        schema: Version of this file's layout.
    """

    name: str
    config: dict[str, Any]
    config_hash: str
    environment: dict[str, str]
    state: State = State.RUNNING
    started: str = ""
    summary: dict[str, float] = field(default_factory=dict)
    measurements: list[Measurement] = field(default_factory=list)
    error: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    stopped_by: str = ""
    schema: int = SCHEMA

    def write(self, folder: Path) -> Path:
        """Write the record into `folder` atomically and return the file's path."""
        path = folder / RECORD_FILE
        write_atomically(path, json.dumps(asdict(self), indent=1, allow_nan=False))
        return path

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a record file.

        Raises:
            OSError: The file cannot be read.
            ValueError: It is not a record that this version can read.
        """
        content = read_json(path)
        if not isinstance(content, dict) or content.get("schema") != SCHEMA:
            raise ValueError(f"{path} is not a run record of schema {SCHEMA}")
        return from_json(cls, content)


def _finite(values: list[float]) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values]


def read_record(folder: Path) -> RunRecord | None:
    """Read the record in a run's folder; None if there is none that can be read."""
    try:
        return RunRecord.read(folder / RECORD_FILE)
    except (OSError, ValueError):
        return None


def holds_result(folder: Path) -> bool:
    """Whether a run's folder holds a whole record of a run with a result.

    The status only reports; that a run is finished is what its record says.
    """
    try:
        found = (folder / RECORD_FILE).stat()
    except OSError:
        return False
    return _holds_result(folder, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=4096)  # whoever follows a sweep asks for each of its runs again and again
def _holds_result(folder: Path, _modified: int, _size: int) -> bool:
    record = read_record(folder)
    return record is not None and record.state.has_result


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turn nested containers into dotted keys, as MLflow's parameters and tables have them."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
