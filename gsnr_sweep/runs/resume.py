"""Where an attempt at a run begins: at epoch 0, or where an earlier attempt left off."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gsnr_sweep.config.identity import TrainingIdentity
from gsnr_sweep.records.checkpoint import WEIGHTS_FILE, Checkpoint
from gsnr_sweep.records.record import Measurement, RunRecord, read_record
from gsnr_sweep.records.state import State


@dataclass(frozen=True)
class ResumePoint:
    """What earlier attempts leave to the next one.

    Attributes:
        checkpoint: The weights to go on from; None to start at epoch 0.
        measurements: What was measured; those beyond the checkpoint's epoch need not be repeated,
            for the same weights would give the same values.
        data_digest: Of the sets that the measurements were made with, empty if there are none.
        note: Why something earlier cannot be used, empty if nothing is lost.
    """

    checkpoint: Checkpoint | None = None
    measurements: list[Measurement] = field(default_factory=list)
    data_digest: str = ""
    note: str = ""

    @property
    def epoch(self) -> int:
        """Steps taken."""
        return self.checkpoint.epoch if self.checkpoint else 0

    @property
    def seconds(self) -> dict[str, float]:
        """Time spent on those steps."""
        return self.checkpoint.seconds if self.checkpoint else {}

    @classmethod
    def find(
        cls,
        folder: Path,
        other: Path | None,
        identity: str,
        codes: Sequence[str],
        training: TrainingIdentity | None = None,
    ) -> ResumePoint:
        """Look for an earlier attempt in the run's own folder, then in another one.

        Args:
            folder: The run's own folder.
            other: Folder of an earlier launch's run with the same identity, or of one that kept the
                weights of the same training, if there is one.
            identity: The run's identity.
            codes: Version of the code that is to go on, then those that compute the same numbers.
            training: Identity of the training, for kept weights; None to look for none.
        """
        places = [place for place in (folder, other) if place is not None]
        found = [cls._in(place, identity, codes) for place in places]
        trained = any(each.epoch for each in found)
        if other and training and not trained and (kept := cls._kept(other, training)):
            return dataclasses.replace(kept, measurements=found[0].measurements)
        usable = [one for one in found if not one.note]
        furthest = max(usable, key=lambda one: one.epoch, default=None)
        if furthest is None or (furthest == cls() and len(usable) < len(found)):
            return next(one for one in found if one.note)
        if not furthest.data_digest:
            return max(usable, key=lambda one: len(one.measurements))
        alike = [one for one in usable if one.data_digest == furthest.data_digest]
        measured = {m.epoch: m for one in reversed(alike) for m in one.measurements}
        ordered = [measured[epoch] for epoch in sorted(measured)]
        return dataclasses.replace(furthest, measurements=ordered)

    @classmethod
    def _kept(cls, folder: Path, training: TrainingIdentity) -> ResumePoint | None:
        """Return the kept weights of the same training, if they are early enough to be measured."""
        weights = Checkpoint.read(folder, WEIGHTS_FILE)
        if weights is None or weights.fits(training.hash, training.code):
            return None
        if weights.epoch > training.measured_from:
            return None
        return cls(weights, data_digest=weights.data_digest)

    @classmethod
    def _in(cls, folder: Path, identity: str, codes: Sequence[str]) -> ResumePoint:
        record, checkpoint = read_record(folder), Checkpoint.read(folder)
        if checkpoint and (why := checkpoint.fits(identity, codes[0], codes)):
            return cls(note=why)
        if record and record.config_hash != identity:
            record = None
        if record and record.environment.get("code") not in codes:
            record = None
        if checkpoint is None and record is None:
            return cls()
        measured = {one.epoch: one for one in checkpoint.measurements} if checkpoint else {}
        if record:
            measured |= {one.epoch: one for one in record.measurements}
        digest = checkpoint.data_digest if checkpoint else _digest(record)
        return cls(checkpoint, [measured[epoch] for epoch in sorted(measured)], digest)

    def of_data(self, data_digest: str) -> ResumePoint:
        """Return this beginning if it was made with these data, else a fresh one."""
        train, _, _ = data_digest.partition("+")  # kept weights know of no test set
        if not self.data_digest or self.data_digest in (data_digest, train):
            return self
        return dataclasses.replace(ResumePoint(), note="the data are not what they were")


def finished_record(folder: Path, identity: str, code: str) -> RunRecord | None:
    """Return the record of a run that has a result but whose process died before it could say so.

    Args:
        folder: The run's own folder.
        identity: The run's identity.
        code: Version of the code.
    """
    record = read_record(folder)
    if record is None or record.state not in (State.FINISHED, State.DIVERGED):
        return None
    same = (record.config_hash, record.environment.get("code")) == (identity, code)
    return record if same else None


def _digest(record: RunRecord | None) -> str:
    data = record.data if record else {}
    return f"{data['train_digest']}+{data['test_digest']}" if data else ""
