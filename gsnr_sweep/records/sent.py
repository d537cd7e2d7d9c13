"""What MLflow has of a run, noted beside the run's record by whoever sent it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from gsnr_sweep.records.atomic import write_atomically
from gsnr_sweep.records.reading import SMALL, from_json, read_json, read_whole
from gsnr_sweep.records.record import RECORD_FILE
from gsnr_sweep.records.status import read_status

SENT_FILE = "mlflow.json"


@dataclass
class Sent:
    """What was sent of a run.

    Attributes:
        run_id: Its MLflow run; empty if there is none.
        digest: SHA-256 of the record that was sent whole; empty if none was.
        state: The run's state as MLflow knows it.
        measurements: `gsnr_sweep.records.record.Measurement.key` of those that were sent.
        data: Digests of the data sets that were sent.
        restarts: How often a later attempt could not use what an earlier one had sent, and went on
            in an MLflow run of its own.
        remarks: What MLflow has otherwise than the record, or lacks, in words.
    """

    run_id: str = ""
    digest: str = ""
    state: str = ""
    measurements: list[str] = field(default_factory=list)
    data: str = ""
    restarts: int = 0
    remarks: list[str] = field(default_factory=list)

    def begin(self, run_id: str) -> None:
        """Go on in another MLflow run, in which nothing is yet."""
        self.run_id, self.state, self.data = run_id, "", ""
        self.measurements, self.remarks = [], []

    def write(self, folder: Path) -> None:
        """Write it into the run's folder.

        Raises:
            GsnrError: The file cannot be written.
        """
        write_atomically(folder / SENT_FILE, json.dumps(asdict(self)))


def read_sent(folder: Path) -> Sent:
    """Read what was sent of a run; runs of earlier versions noted it in their status."""
    try:
        return from_json(Sent, read_json(folder / SENT_FILE, SMALL), skip_unknown=True)
    except (OSError, ValueError):
        status = read_status(folder)
    if status is None or not (status.run_id or status.tracked):
        return Sent()
    return Sent(status.run_id, record_digest(folder) if status.tracked else "", status.state)


def is_sent(folder: Path) -> bool:
    """Whether MLflow has everything that a run's record holds."""
    digest = record_digest(folder)
    return bool(digest) and read_sent(folder).digest == digest


def note_missing(folder: Path) -> None:
    """Note that MLflow lacks a run after all, so that it counts as unsent.

    Raises:
        GsnrError: The note cannot be written.
    """
    sent = read_sent(folder)
    sent.digest = ""
    sent.write(folder)


def record_digest(folder: Path) -> str:
    """Return the digest of a run's record; empty if there is none that can be read."""
    try:
        return hashlib.sha256(read_whole(folder / RECORD_FILE)).hexdigest()
    except (OSError, ValueError):
        return ""
