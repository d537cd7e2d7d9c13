"""What is said of a sweep when its launcher is done with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.launcher.monitor import Outcome
from gsnr_sweep.records.leases import standing
from gsnr_sweep.records.logs import last_lines
from gsnr_sweep.records.manifest import Manifest
from gsnr_sweep.records.state import Action, State
from gsnr_sweep.records.status import read_status
from gsnr_sweep.report.pipeline import collect
from gsnr_sweep.report.remarks import tell_remarks_of_sweep
from gsnr_sweep.tracking.sweep_tracker import SweepTracker
from gsnr_sweep.tracking.sync import send_unsent
from gsnr_sweep.tracking.turns import LAUNCHER

_LOG_LINES = 6
_CHATTER = "submitit INFO"


class SweepFailedError(GsnrError):
    """Some runs of a sweep failed; the others are complete."""


def say_that_it_is_submitted(manifest: Manifest, n_runs: int, console: Console) -> None:
    """Say how a sweep is followed from here that nobody waits for."""
    sweep = manifest.id
    console.print(
        f"Submitted as sweep {sweep}: {n_runs} runs in {len(manifest.jobs)} jobs. Next:\n"
        f"  python -m gsnr_sweep status {sweep}    # how far it is (--watch: live)\n"
        f"  python -m gsnr_sweep collect {sweep}   # table, figure and coefficients so far\n"
        f"  python -m gsnr_sweep logs {sweep}      # what jobs and failed runs printed\n"
        f"  python -m gsnr_sweep cancel {sweep}    # stop it; the same command resumes",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def finish(manifest: Manifest, outcomes: Sequence[Outcome], console: Console) -> None:
    """Aggregate what came out, and name what failed.

    Raises:
        SweepFailedError: Some runs failed, or they could not be aggregated.
    """
    _send_the_rest(manifest, console)
    failed = sorted((o for o in outcomes if o.error), key=lambda outcome: outcome.run.index)
    failed += _known_failures(manifest)
    table = collect(manifest, console) if len(failed) < len(manifest.runs) else None
    tell_remarks_of_sweep(manifest, console)
    _tell_what_others_do(manifest, console)
    whole = table is not None or not any(map(_has_result, map(manifest.folder_of, manifest.runs)))
    if failed:
        raise SweepFailedError(_failures(failed, len(manifest.runs)))
    if not whole:
        raise SweepFailedError(
            "The runs are complete, but there is no table of them; why is said above. To try "
            f"again: python -m gsnr_sweep collect {manifest.id}"
        )


def _has_result(folder: Path) -> bool:
    return standing(folder).state == State.FINISHED


def interrupt(manifest: Manifest, tracker: SweepTracker | None, console: Console) -> None:
    """Close a sweep that was stopped.

    Raises:
        SweepFailedError: Always; it says how to go on.
    """
    _send_the_rest(manifest, console)
    if tracker is not None:
        tracker.finish("KILLED")
    folders = [manifest.folder_of(run) for run in manifest.runs]
    states = [status.state for folder in folders if (status := read_status(folder))]
    raise SweepFailedError(
        f"Stopped with {states.count(State.FINISHED)} of {len(folders)} runs complete. Everything "
        f"measured is in {relative(manifest.folder)}. The same command goes on from here: it "
        "reuses the complete runs and resumes the others from their checkpoints."
    )


def _send_the_rest(manifest: Manifest, console: Console) -> None:
    unsent, problem = send_unsent(manifest, LAUNCHER)
    if unsent:
        console.print(
            f"{unsent} run(s) could not be sent to MLflow ({problem}). Their records are in "
            f"{relative(manifest.folder)}; when the store is back, send them: "
            f"python -m gsnr_sweep sync {manifest.id}",
            style="yellow",
            markup=False,
        )


def _tell_what_others_do(manifest: Manifest, console: Console) -> None:
    left = [run for run in manifest.runs if run.action == Action.ELSEWHERE]
    left = [run for run in left if standing(manifest.folder_of(run)).state != State.FINISHED]
    if left:
        console.print(
            f"{len(left)} run(s) are left to another launch that is still at them. The same "
            "command, once that is over, has them in its table.",
            style="yellow",
            markup=False,
        )


def _known_failures(manifest: Manifest) -> list[Outcome]:
    """Return the runs that an earlier launch found to diverge."""
    found = []
    for run in manifest.runs:
        folder = manifest.folder_of(run)
        if run.action == Action.REUSE and run.folder and standing(folder).state == State.DIVERGED:
            found.append(Outcome(run, folder, State.DIVERGED, standing(folder).error))
    return found


def _failures(failed: Sequence[Outcome], total: int) -> str:
    lines = [f"{_how_many(len(failed), total)} The same command tries again what failed."]
    for outcome in failed:
        logs = [path for path in (outcome.folder / "run.log", *outcome.logs) if path.is_file()]
        where = f"  (log: {relative(logs[0])})" if logs else ""
        lines.append(f"  {outcome.run.name}: {outcome.error}{where}")
        if logs:
            told = [line for line in last_lines(logs[0]) if not line.startswith(_CHATTER)]
            lines += [f"      | {line}" for line in told[-_LOG_LINES:]]
    return "\n".join(lines)


def _how_many(failed: int, total: int) -> str:
    if failed < total:
        return f"{failed} of {total} runs failed; the others are complete."
    return "The run failed." if total == 1 else f"All {total} runs failed."


def relative(path: Path) -> Path:
    """Shorten a path for people where it lies below the current folder."""
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path
