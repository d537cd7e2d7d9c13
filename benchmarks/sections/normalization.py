"""Section 8: batch normalization of a training set that does not fit into memory at once."""

from __future__ import annotations

from rich.console import Console

from benchmarks import ours
from benchmarks.plans import Plan
from benchmarks.statistics import Spread, ratio, take_turns
from benchmarks.tables import Section, Table
from benchmarks.workers import working
from benchmarks.workloads import Workload

_COLUMNS = [
    "",
    "memory_limit",
    "samples at a time",
    "s a gradient",
    "times one pass",
    "statistics alone",
]


def run(plan: Plan, console: Console) -> Section:
    """Time a training step's gradient in one pass and in several.

    Args:
        plan: Sizes.
        console: Where to say what is going on.
    """
    table = Table("Full-batch normalization", list(_COLUMNS))
    facts = []
    for workload, limits in plan.normalization:
        console.print(f"normalization: {workload.label_of_one}", highlight=False)
        facts += [_compare(workload, limit, plan, table) for limit in limits]
    table.notes.append(
        f"One thread; median (least..greatest) of {plan.rounds} rounds in turn, each way in a "
        "process of its own after one turn that is not counted: the gradient of the training loss "
        "through the statistics of all n samples, and these statistics alone, as a measurement "
        "needs them."
    )
    return Section("normalization", [table], {"rows": facts})


def _compare(workload: Workload, limit: str, plan: Plan, table: Table) -> dict[str, object]:
    with (
        working(ours.Normalization, workload, "100GB") as whole,
        working(ours.Normalization, workload, limit) as parts,
    ):
        told = parts.call("describe")
        for one in (whole, parts):
            one.call("gradient")
            one.call("statistics")
        turns = {
            (way, what): (lambda worker=worker, what=what: worker.seconds(what))
            for what in ("gradient", "statistics")
            for way, worker in (("whole", whole), ("parts", parts))
        }
        times = take_turns(turns, plan.rounds)  # type: ignore[arg-type]
    of = {
        what: ratio(times["parts", what], times["whole", what])
        for what in ("gradient", "statistics")
    }
    seconds = Spread.of(times["parts", "gradient"])
    name = workload.label_of_one
    table.add(name, limit, told, seconds.text(), of["gradient"].text(), of["statistics"].text())
    return {
        "workload": name,
        "memory_limit": limit,
        "seconds": times["parts", "gradient"],
        "ratio": of["gradient"].median,
        "statistics": of["statistics"].median,
    }
