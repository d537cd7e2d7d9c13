"""What the runs of a launch are going to cost, by grid point."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gsnr_sweep.config.schema import run_name
from gsnr_sweep.launcher.jobs import Crew
from gsnr_sweep.launcher.reuse import describe_action
from gsnr_sweep.preflight.check import CheckedPoint
from gsnr_sweep.preflight.cost import estimate, remaining
from gsnr_sweep.preflight.past_costs import observed_runs
from gsnr_sweep.preflight.plan_view import PlanRow
from gsnr_sweep.records.manifest import SweepRun


def plan_rows(
    points: Sequence[CheckedPoint], runs: Sequence[SweepRun], crew: Crew, roots: Sequence[Path]
) -> list[PlanRow]:
    """Say of every grid point what will become of it, what it costs and which job does it.

    Args:
        points: The grid.
        runs: What is to be done about each point.
        crew: The jobs.
        roots: Folders below which finished runs lie, to estimate by.
    """
    due = [point for point, run in zip(points, runs, strict=True) if run.action == "run"]
    if not due:
        return [_row(point, run, None) for point, run in zip(points, runs, strict=True)]
    observed = observed_runs(due, roots, points[0].cfg.tracking.experiment)
    costs = iter(estimate(due, observed, crew.side_by_side, crew.threads))
    job_of = crew.job_numbers()
    rows = []
    for point, run in zip(points, runs, strict=True):
        row = _row(point, run, job_of.get(run.index))
        if run.action == "run":
            cost = next(costs)
            left = remaining(cost, point.cfg, run.resume_epoch) if run.resume_epoch else cost
            row = PlanRow(row.label, row.action, left, row.job)
        rows.append(row)
    return rows


def _row(point: CheckedPoint, run: SweepRun, job: int | None) -> PlanRow:
    return PlanRow(point.label or run_name(point.cfg), describe_action(run), None, job)
