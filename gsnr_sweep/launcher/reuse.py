"""What a launch is going to do with each grid point: run, resume, reuse or leave it."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gsnr_sweep.config.identity import equal_codes, run_identity, training_identity
from gsnr_sweep.config.schema import SHORTHANDS, Config, run_name
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.launcher.history import Decision, Earlier, History
from gsnr_sweep.launcher.jobs import JobPool, backend_of
from gsnr_sweep.preflight.cost import estimate, remaining
from gsnr_sweep.preflight.past_costs import observed_runs
from gsnr_sweep.preflight.plan_view import PlanRow
from gsnr_sweep.records.layout import search_roots
from gsnr_sweep.records.leases import standing
from gsnr_sweep.records.manifest import Manifest, SweepRun
from gsnr_sweep.records.state import Action, State
from gsnr_sweep.tracking.background_query import LookUp
from gsnr_sweep.tracking.finished_runs import read_finished_runs, store_to_read

if TYPE_CHECKING:
    from gsnr_sweep.preflight.check import CheckedPoint


def read_history(
    points: Sequence[CheckedPoint],
    launch_folder: Path,
    sweep_dir: Path | None,
    look_up: LookUp | None = None,
) -> History:
    """Look for earlier runs of these points, on disk and in the tracking store.

    A store that cannot be read adds nothing: what is on disk is enough to go on.

    Args:
        points: The grid.
        launch_folder: Holds the default tracking store and, by default, sweeps and single runs.
        sweep_dir: The sweep's folder.
        look_up: What looks into the store already; None to open it here.
    """
    history = History()
    first = points[0].cfg
    wanted = {run_identity(point.cfg) for point in points}
    experiment = first.tracking.experiment
    roots = search_roots(launch_folder, sweep_dir)
    history.read_folders(roots, experiment, wanted)
    history.read_plans(roots, experiment, wanted, has_jobs)
    if uri := store_to_read(first.tracking, launch_folder):
        with contextlib.suppress(GsnrError):
            stored = look_up.runs() if look_up else read_finished_runs(uri, experiment)
            history.enter_stored(stored, wanted)
    return history


def has_jobs(manifest: Manifest) -> bool:
    """Tell whether a sweep still has jobs, running or in a queue."""
    states = backend_of(manifest).states(manifest.jobs)
    return any(state.phase != "gone" for state in states.values())


def plan_runs(
    points: Sequence[CheckedPoint],
    names: Sequence[str],
    history: History,
    sweep_dir: Path,
    first_index: int = 0,
) -> list[SweepRun]:
    """Decide about every grid point.

    Args:
        points: The grid.
        names: The runs' names.
        history: Earlier runs.
        sweep_dir: The sweep's folder.
        first_index: Number of the first run.
    """
    runs: list[SweepRun] = []
    first_of: dict[str, SweepRun] = {}
    for index, (point, name) in enumerate(zip(points, names, strict=True), first_index):
        identity = run_identity(point.cfg)
        run = SweepRun(index, name, identity, point.flops, folder=str(index))
        if identity in first_of:
            _repeat(run, first_of[identity])
        else:
            first_of[identity] = run
            if not point.cfg.rerun:
                _apply(run, decide(history, point.cfg), sweep_dir)
            if run.action == Action.RUN:
                run.folder = _free_folder(sweep_dir, index)
        runs.append(run)
    return runs


def decide(history: History, cfg: Config) -> Decision:
    """Decide what is to be done about one grid point."""
    code, *equal = equal_codes(cfg)
    return history.decide(run_identity(cfg), code, cfg.same_code, equal, training_identity(cfg))


def _free_folder(sweep_dir: Path, index: int) -> str:
    """Return a folder for a run; another one where an earlier sweep has left a run there."""
    names = (str(index) if n == 1 else f"{index}-{n}" for n in itertools.count(1))
    return next(name for name in names if standing(sweep_dir / name).state == State.WAITING)


def _repeat(run: SweepRun, first: SweepRun) -> None:
    run.action, run.folder, run.run_id = Action.REPEAT, first.folder, first.run_id
    run.note = f"as run {first.index}"


def _apply(run: SweepRun, decision: Decision, sweep_dir: Path) -> None:
    run.action, run.note = decision.action, decision.note
    earlier = decision.earlier
    if earlier is None:
        return
    folder = _relative(earlier, sweep_dir)
    if decision.action == Action.RUN:
        run.resume_from, run.resume_epoch = folder, earlier.epoch
        run.note = f"epoch {earlier.epoch} of {earlier.epochs}; {decision.note}"
    else:
        run.folder, run.run_id = folder, earlier.run_id


def _relative(earlier: Earlier, sweep_dir: Path) -> str:
    return os.path.relpath(earlier.folder, sweep_dir.resolve()) if earlier.folder else ""


def name_run(
    point: CheckedPoint, overrides: Sequence[str], axes: Mapping[str, Sequence[str]]
) -> str:
    """Name a run of a sweep after n, ch and p_random, or as asked for, and what else is swept."""
    base = run_name(point.cfg)
    named = point.cfg.tracking.run_name is not None  # one name for all of them
    told = (
        {"tracking.run_name"}
        if named
        else {"n", "ch", "p_random", "data.eta", "data.confusion", *SHORTHANDS}
    )
    others = [o for o in overrides if (key := o.partition("=")[0]) in axes and key not in told]
    return " ".join([base, *others])


def name_runs(points: Sequence[CheckedPoint], overrides: Sequence[Sequence[str]]) -> list[str]:
    """Name all runs of a sweep."""
    axes = axes_of(overrides)
    return [name_run(p, own, axes) for p, own in zip(points, overrides, strict=True)]


def axes_of(overrides: Sequence[Sequence[str]]) -> dict[str, list[str]]:
    """Return the swept keys with their values, from the runs' overrides."""
    values: dict[str, dict[str, None]] = {}
    for point in overrides:
        for override in point:
            key, _, value = override.partition("=")
            values.setdefault(key, {})[value] = None
    return {key: list(seen) for key, seen in values.items() if len(seen) > 1}


def describe_reuse(runs: Sequence[SweepRun]) -> str:
    """Say in a line what does not have to be computed (again); empty if that is nothing."""
    counts = {
        "finished before": [r for r in runs if r.action == Action.REUSE],
        "under way in another launch": [r for r in runs if r.action == Action.ELSEWHERE],
        "asked for twice": [r for r in runs if r.action == Action.REPEAT],
        "resumed from a checkpoint": [r for r in runs if r.action == Action.RUN and r.resume_from],
    }
    parts = [f"{len(found)} {words}" for words, found in counts.items() if found]
    other = sum("another version of the code" in r.note for r in runs if r.action == Action.REUSE)
    if other:
        parts[0] += f" ({other} by another version of the code; same_code=true runs them again)"
    return ", ".join(parts)


def describe_action(run: SweepRun) -> str:
    """Say in a few words what will become of a grid point, the particulars in brackets."""
    words = {
        Action.RUN: "resume" if run.resume_from else "run",
        Action.REUSE: "reused",
        Action.ELSEWHERE: "under way elsewhere",
        Action.REPEAT: "asked for twice",
    }
    return f"{words[run.action]} ({run.note})" if run.note else words[run.action]


def plan_rows(
    points: Sequence[CheckedPoint],
    runs: Sequence[SweepRun],
    job_pool: JobPool,
    roots: Sequence[Path],
) -> list[PlanRow]:
    """Say of every grid point what will become of it, what it costs and which job does it.

    Args:
        points: The grid.
        runs: What is to be done about each point.
        job_pool: The jobs.
        roots: Folders below which finished runs lie, to estimate by.
    """
    due = [point for point, run in zip(points, runs, strict=True) if run.action == Action.RUN]
    if not due:
        return [_row(point, run, None) for point, run in zip(points, runs, strict=True)]
    observed = observed_runs(due, roots, points[0].cfg.tracking.experiment)
    costs = iter(estimate(due, observed, job_pool.side_by_side, job_pool.threads))
    job_of = job_pool.job_numbers()
    rows = []
    for point, run in zip(points, runs, strict=True):
        row = _row(point, run, job_of.get(run.index))
        if run.action == Action.RUN:
            cost = next(costs)
            left = remaining(cost, point.cfg, run.resume_epoch) if run.resume_epoch else cost
            row = PlanRow(row.label, row.action, left, row.job)
        rows.append(row)
    return rows


def _row(point: CheckedPoint, run: SweepRun, job: int | None) -> PlanRow:
    return PlanRow(point.label or run_name(point.cfg), describe_action(run), None, job)
