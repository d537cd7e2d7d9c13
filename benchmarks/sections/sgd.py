"""Section 7: epochs of mini-batch training of M replicas."""

from __future__ import annotations

from rich.console import Console

from benchmarks import ours
from benchmarks.agreement import Reference, small
from benchmarks.peers.mini_batches import BATCH, MOMENTUM, STEPS, MiniBatchLoop
from benchmarks.plans import Plan
from benchmarks.sections.contest import Build, Expected, Result, hold
from benchmarks.sections.contested import facts_of, fill
from benchmarks.statistics import Spread
from benchmarks.tables import Section, Table
from benchmarks.workers import working
from benchmarks.workloads import Workload

OURS, LOOP, FUSED = "gsnr-sweep", "plain loop", "plain loop, `fused=True`"
_COLUMNS = ["", "ms a step of a replica", "times ours", "its setting", "apart"]


def run(plan: Plan, console: Console) -> Section:
    """Time every workload.

    Args:
        plan: Sizes.
        console: Where to say what is going on.
    """
    tables, facts = [], []
    for workload, epochs in plan.sgd:
        console.print(f"mini-batches: {workload.label}", highlight=False)
        few = small(workload)
        with working(Reference) as worker:
            numbers, exact = (worker.call("mini_batches", one) for one in (workload, few))
        expected = Expected(numbers, exact, _contenders(few, 1, "float64"), frozenset())
        builds = _contenders(workload, epochs, "float32")
        results = hold(builds, expected, plan.sgd_rounds, console)
        steps = epochs * workload.n_sets * -(-workload.n // BATCH)
        tables.append(_table(workload, results, steps))
        facts.append(facts_of(workload, results, "seconds_a_step", steps))
    tables[-1].notes.append(_explanation(plan.sgd_rounds))
    return Section("sgd", tables, {"workloads": facts})


def _contenders(workload: Workload, epochs: int, dtype: str) -> dict[str, Build]:
    return {
        OURS: (ours.MiniBatches, workload, epochs, dtype),
        LOOP: (MiniBatchLoop, workload, epochs, None, dtype),
        FUSED: (MiniBatchLoop, workload, epochs, True, dtype),
    }


def _table(workload: Workload, results: dict[str, Result], steps: int) -> Table:
    table = Table(workload.label, list(_COLUMNS))

    def cells(_: str, times: list[float], times_ours: str) -> tuple[str, ...]:
        return Spread.of([1e3 * seconds / steps for seconds in times]).text(), times_ours

    fill(table, results, OURS, cells)
    return table


def _explanation(rounds: int) -> str:
    return (
        f"SGD with momentum {MOMENTUM} on mini-batches of {BATCH}. Median (least..greatest) of "
        f"{rounds} rounds in turn; ratios are those of the rounds. Loops choose the better number "
        "of threads. Apart: the largest relative difference of the first and the last replica's "
        f"way in the first {STEPS} steps from a loop in float64, in the same order of samples: in "
        "float64 on a few samples; as it was timed, in float32. One replica has one core, as a run "
        "of a sweep that has as many workers as there are cores."
    )
