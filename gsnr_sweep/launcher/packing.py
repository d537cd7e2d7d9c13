"""Packing runs into jobs of about the same cost."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence

from gsnr_sweep.records.manifest import SweepRun


def pack(runs: Sequence[SweepRun], runs_per_job: int) -> list[list[SweepRun]]:
    """Spread runs over as few jobs as the limit allows, each about as costly as the others.

    The costliest run goes first, always to the job with the least to do that has room (longest
    processing time first; Graham 1969). Within a job the costliest come first, too.

    Args:
        runs: The runs with their estimated cost.
        runs_per_job: Most runs in a job.
    """
    n_jobs = math.ceil(len(runs) / runs_per_job)
    jobs: list[list[SweepRun]] = [[] for _ in range(n_jobs)]
    loads = [(0.0, job) for job in range(n_jobs)]
    for run in sorted(runs, key=lambda run: -run.cost):
        load, job = heapq.heappop(loads)
        jobs[job].append(run)
        if len(jobs[job]) < runs_per_job:
            heapq.heappush(loads, (load + run.cost, job))
    return [job for job in jobs if job]
