"""Checkpoints between two steps, and stopping where others ask for it."""

from __future__ import annotations

import contextlib

from typing_extensions import override

from gsnr_sweep.records.checkpoint import (
    WEIGHTS_FILE,
    Checkpoint,
    Checkpointer,
    remove_checkpoint,
)
from gsnr_sweep.records.state import State
from gsnr_sweep.runs.callbacks import Callback, RunState
from gsnr_sweep.runs.outcome import RunStoppedError


class Checkpointing(Callback):
    """Writes checkpoints when they are due or asked for; drops them after the end."""

    def __init__(self, run: RunState) -> None:
        """Count the time to the first checkpoint from now."""
        self._checkpointer = Checkpointer(run.folder, run.cfg.checkpoint_minutes)

    @override
    def on_data(self, run: RunState) -> None:
        """Keep the weights of a run that has all its steps behind it."""
        _keep_weights_of_end(run, run.before.epoch)

    @override
    def on_step(self, run: RunState, epoch: int) -> None:
        """Do what is due between two steps.

        Raises:
            RunStoppedError: Somebody asked for it; the checkpoint is written.
        """
        request = run.attempt.request
        if request.stopping or request.take_save() or self._checkpointer.due:
            self._write(run, epoch)
        if request.stopping:
            raise RunStoppedError(
                f"Stopped at epoch {epoch} of {run.cfg.epochs} ({request.stopping})."
            )

        _keep_weights_of_end(run, epoch)

    def _write(self, run: RunState, epoch: int) -> None:
        assert run.ensemble is not None
        checkpoint = Checkpoint(
            epoch,
            run.ensemble.state(),
            run.record.config_hash,
            run.code,
            run.data_digest,
            {"wall": run.wall_seconds, "compute": run.stopwatch.seconds},
            run.record.measurements,
        )
        self._checkpointer.write(checkpoint)

    @override
    def on_end(self, run: RunState) -> None:
        """Drop the checkpoints of a run that has its result, if that is safely on disk."""
        if run.record.state not in (State.FINISHED, State.DIVERGED) or run.problems:
            return
        for folder in (run.folder, run.attempt.resume_from):
            if folder is not None:
                with contextlib.suppress(OSError):
                    remove_checkpoint(folder)


def _keep_weights_of_end(run: RunState, epoch: int) -> None:
    """Keep the final weights, which the measurement after the last step is about to change.

    Args:
        run: Keeps them if it is to, and if training ends here.
        epoch: Epochs that it has passed.

    Raises:
        GsnrError: They cannot be written.
    """
    assert run.ensemble is not None
    if not run.cfg.keep_weights or not run.ensemble.ends_at(epoch):
        return
    train_digest, _, _ = run.data_digest.partition("+")
    weights = Checkpoint(
        epoch,
        run.ensemble.state(),
        run.training.hash,
        run.training.code,
        train_digest,
        {"wall": run.wall_seconds, "compute": run.stopwatch.seconds},
    )
    weights.write(run.folder, WEIGHTS_FILE)
