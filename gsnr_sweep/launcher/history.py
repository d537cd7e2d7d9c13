"""What earlier launches of an experiment have computed, found by the runs' identities."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from gsnr_sweep.config.identity import TrainingIdentity
from gsnr_sweep.records.checkpoint import WEIGHTS_FILE, has_checkpoint
from gsnr_sweep.records.layout import run_folders
from gsnr_sweep.records.leases import standing
from gsnr_sweep.records.manifest import Manifest, read_manifests
from gsnr_sweep.records.sent import read_sent
from gsnr_sweep.records.state import Action, State
from gsnr_sweep.records.status import Status, read_status
from gsnr_sweep.tracking.finished_runs import StoredRun


@dataclass(frozen=True)
class Earlier:
    """A run of an earlier launch.

    Attributes:
        state: As in `gsnr_sweep.records.status.Status`, ``killed`` where its process is gone.
        code: Version of the code that computed it.
        when: Last report, seconds since 1970.
        folder: Where its record is; None if only MLflow has it.
        run_id: MLflow run, empty if none.
        epoch: Steps taken.
        epochs: Steps to take.
        attempt: Number of its last attempt.
        resumable: Whether it has a checkpoint.
    """

    state: State
    code: str
    when: float
    folder: Path | None = None
    run_id: str = ""
    epoch: int = 0
    epochs: int = 0
    attempt: int = 1
    resumable: bool = False

    @property
    def date(self) -> str:
        """When it reported last, as people write it."""
        return datetime.fromtimestamp(self.when, UTC).strftime("%Y-%m-%d %H:%M UTC")


@dataclass(frozen=True)
class Decision:
    """What is to be done about a grid point.

    Attributes:
        action: What that is.
        earlier: The run to reuse or to go on from, None if there is none.
        note: What people should know, empty if nothing.
    """

    action: Action = Action.RUN
    earlier: Earlier | None = None
    note: str = ""


@dataclass
class History:
    """Earlier runs of an experiment by identity."""

    runs: dict[str, list[Earlier]] = field(default_factory=dict)
    kept: dict[str, list[Earlier]] = field(default_factory=dict)
    """Runs that kept their weights, by the identity of their training."""

    def add(self, config_hash: str, earlier: Earlier) -> None:
        """Enter a run."""
        self.runs.setdefault(config_hash, []).append(earlier)

    def read_folders(self, roots: Iterable[Path], experiment: str, wanted: set[str]) -> None:
        """Enter what lies on disk.

        Args:
            roots: Folders of run folders, at any of the depths that Hydra makes by default.
            experiment: Only runs of this one count.
            wanted: Identities to look for.
        """
        for folder in run_folders(roots):
            status = read_status(folder)
            if status and status.state.has_result and (folder / WEIGHTS_FILE).is_file():
                kept = dataclasses.replace(_from_disk(folder, status), code=status.training_code)
                self.kept.setdefault(status.training_hash, []).append(kept)
            if status and status.experiment == experiment and status.config_hash in wanted:
                self.add(status.config_hash, _from_disk(folder, status))

    def read_plans(
        self,
        roots: Iterable[Path],
        experiment: str,
        wanted: set[str],
        has_jobs: Callable[[Manifest], bool],
    ) -> None:
        """Enter what other sweeps have planned and will still do.

        Args:
            roots: Folders of sweep folders.
            experiment: Only sweeps of this one count.
            wanted: Identities to look for.
            has_jobs: Tells whether a sweep still has jobs that will do what is left.
        """
        for manifest in read_manifests(roots, ("", "*/", "*/*/", "*/*/from-*/")):
            if manifest.experiment != experiment or manifest.stop_file.exists():
                continue
            waiting = [
                run
                for run in manifest.to_run()
                if run.config_hash in wanted
                and standing(manifest.folder_of(run)).state == State.WAITING
            ]
            if waiting and has_jobs(manifest):
                for run in waiting:
                    folder = manifest.folder_of(run)
                    self.add(run.config_hash, Earlier(State.WAITING, "", 0.0, folder))

    def enter_stored(self, stored: Iterable[StoredRun], wanted: set[str]) -> None:
        """Enter the finished runs that MLflow has and this machine's folders have not."""
        here = (run for runs in self.runs.values() for run in runs if run.state != State.LOST)
        known = {run.run_id for run in here}
        for run in stored:
            if run.config_hash in wanted and run.run_id not in known:
                found = Earlier(State(run.state), run.code, run.when, run_id=run.run_id)
                self.add(run.config_hash, found)

    def decide(
        self,
        config_hash: str,
        code: str,
        same_code: bool = False,
        equal: Collection[str] = (),
        training: TrainingIdentity | None = None,
    ) -> Decision:
        """Say what is to be done about a grid point.

        A result is reused, of several the newest, one of the same code first. A run that is under
        way is left to whoever is at it. Of what was interrupted, the one that got furthest is
        continued if the code has not changed.

        Args:
            config_hash: The grid point's identity.
            code: Version of the code that would compute it.
            same_code: Whether results of other code do not count.
            equal: Other versions of the code that compute the same numbers.
            training: Identity of the training, for kept weights; None to look for none.
        """
        earlier = sorted(self.runs.get(config_hash, []), key=lambda e: (e.code == code, e.when))
        results = [e for e in earlier if e.state.has_result and (e.code == code or not same_code)]
        if results:
            best = results[-1]
            other = "" if best.code == code else ", by another version of the code"
            return Decision(Action.REUSE, best, f"{best.state} {best.date}{other}")
        if alive := [e for e in earlier if (e.state.under_way or e.state == State.WAITING)]:
            return Decision(Action.ELSEWHERE, alive[-1], f"in {_shown(alive[-1].folder)}")
        resumable = [e for e in earlier if e.resumable and e.code in (code, *equal)]
        if resumable:
            furthest = max(resumable, key=lambda e: e.epoch)
            return Decision(Action.RUN, furthest, f"checkpoint of {furthest.date}")
        if training and (kept := self._kept_weights(training)):
            return Decision(Action.RUN, kept, f"weights kept {kept.date}")
        if earlier and not (last := earlier[-1]).state.has_result:
            return Decision(Action.RUN, None, f"{last.state} {last.date}, starts anew")
        return Decision()

    def _kept_weights(self, training: TrainingIdentity) -> Earlier | None:
        """Return the latest kept weights of a training that come before all measured epochs."""
        usable = [
            run
            for run in self.kept.get(training.hash, [])
            if run.code == training.code and run.epoch <= training.measured_from
        ]
        return max(usable, key=lambda run: run.epoch, default=None)


def _shown(folder: Path | None) -> str:
    """Shorten a run's folder to what tells it: date, time and number."""
    return "/".join(folder.parts[-3:]) if folder else "the tracking store"


def _from_disk(folder: Path, status: Status) -> Earlier:
    state = standing(folder).state
    return Earlier(
        state,
        status.code,
        status.updated,
        folder,
        read_sent(folder).run_id,
        status.epoch,
        status.epochs,
        status.attempt,
        not (state.has_result or state.under_way) and has_checkpoint(folder),
    )
