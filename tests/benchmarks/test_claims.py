"""Claims are judged wrongly about as often as their rule says, on sweeps of the toy problem."""

import numpy as np
import pytest

from benchmarks.claims import statistics, wrong_verdicts
from benchmarks.coverage import toy_runs


def test_normal_seeds_err_in_2_5_percent_on_either_side() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, 5000)
    table = wrong_verdicts({"made up": values}, (3, 10), 20_000)
    (row,) = table.rows
    assert [float(cell) for cell in row[2:]] == pytest.approx([2.5] * 4, abs=0.5)


@pytest.mark.slow
def test_seeds_of_the_toy_problem_err_in_few_percent() -> None:
    found = statistics(toy_runs(60))
    assert len(found) == 5
    for row in wrong_verdicts(found, (5,), 4000).rows:
        assert all(float(cell) < 10 for cell in row[2:]), row
