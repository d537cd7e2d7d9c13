"""Packing runs into jobs: few jobs, none much costlier than the others."""

import random

import pytest

from gsnr_sweep.launcher.jobs import pack
from gsnr_sweep.records.manifest import SweepRun


def _runs(*costs: float) -> list[SweepRun]:
    return [SweepRun(i, str(i), str(i), cost) for i, cost in enumerate(costs)]


def _costs(jobs: list[list[SweepRun]]) -> list[list[float]]:
    return [[run.cost for run in job] for job in jobs]


@pytest.mark.parametrize(
    ("n", "per_job", "jobs"), [(0, 3, 0), (1, 1, 1), (7, 3, 3), (6, 3, 2), (5, 1, 5), (3, 99, 1)]
)
def test_as_few_jobs_as_the_limit_allows(n: int, per_job: int, jobs: int) -> None:
    packed = pack(_runs(*range(n)), per_job)
    assert len(packed) == jobs
    assert all(0 < len(job) <= per_job for job in packed)
    assert sorted(run.index for job in packed for run in job) == list(range(n))


def test_the_costliest_goes_to_the_job_with_the_least_to_do() -> None:
    assert _costs(pack(_runs(1, 9, 5, 3), 2)) == [[9, 1], [5, 3]]
    assert _costs(pack(_runs(8, 1, 1, 1, 7, 1), 3)) == [[8, 1, 1], [7, 1, 1]]


def test_the_costliest_of_a_job_comes_first() -> None:
    rng = random.Random(0)
    for job in _costs(pack(_runs(*(rng.random() for _ in range(50))), 7)):
        assert job == sorted(job, reverse=True)


def test_a_job_that_is_full_takes_no_more() -> None:
    """However little there is to do in it."""
    packed = _costs(pack(_runs(100, 1, 1, 1, 1), 3))
    assert sorted(map(len, packed)) == [2, 3]
    assert [100, 1] in packed


def test_runs_of_equal_or_unknown_cost_are_spread_evenly_in_their_order() -> None:
    packed = pack(_runs(*[0.0] * 6), 2)
    assert [len(job) for job in packed] == [2, 2, 2]
    assert pack(_runs(*[0.0] * 6), 2) == packed


def test_no_job_is_far_above_the_others() -> None:
    rng = random.Random(1)
    costs = [rng.lognormvariate(0, 1) for _ in range(200)]
    loads = [sum(job) for job in _costs(pack(_runs(*costs), 20))]
    assert max(loads) - min(loads) <= max(costs)
