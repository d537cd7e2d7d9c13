"""Section 6: one call of the Python interface beside what others' libraries take for the same."""

from __future__ import annotations

from functools import partial
from typing import Any

from rich.console import Console

from benchmarks import ours
from benchmarks.agreement import EXACT
from benchmarks.memory import NOT_HERE, resident
from benchmarks.peers import moments, statistics
from benchmarks.plans import Plan
from benchmarks.sections.contest import Build, Result
from benchmarks.sections.contested import contested, facts_of, fill
from benchmarks.statistics import Spread, number
from benchmarks.tables import Section, Table
from benchmarks.workloads import Workload

OURS, GRADIENT = "`gradient_statistics`", "a plain gradient pass"
_PEERS: dict[str, Any] = {
    "BackPACK Variance": statistics.BackPackVariance,
    "BackPACK SumGradSquared": statistics.BackPackSums,
    "BackPACK BatchGrad": statistics.BackPackBatch,
    "Opacus GradSampleModule": statistics.Opacus,
    "torch.func vmap(grad)": statistics.VmapGrad,
}
# In float64 an LSTM fails in these alone: BackPACK has initial states in float32, vmap a rule less.
_WITHOUT_FLOAT64 = {"lstm": frozenset(_PEERS) - {"Opacus GradSampleModule"}}
_COLUMNS = ["", "s a call", "times ours", "peak memory", "its setting", "apart"]


def run(plan: Plan, console: Console) -> Section:
    """Time every network and measure everybody's memory.

    Args:
        plan: Sizes.
        console: Where to say what is going on.
    """
    tables, facts = [], []
    for workload in plan.api:
        console.print(f"api: {workload.label_of_one}", highlight=False)
        results, memory = contested(
            workload,
            "statistics",
            partial(_contenders, plan),
            plan.api_rounds,
            console,
            ours=OURS,
            base=GRADIENT,
            judged_as_timed=_WITHOUT_FLOAT64.get(workload.model, frozenset()),
        )
        tables.append(_table(workload, results, memory))
        facts.append(facts_of(workload, results, "seconds", memory=memory))
    tables[-1].notes.append(_explanation(plan.api_rounds))
    return Section("api", tables, {"workloads": facts})


def _contenders(plan: Plan, workload: Workload, dtype: str) -> dict[str, Build]:
    return {
        OURS: (ours.ApiCall, workload, dtype),
        **{name: (peer, workload, plan.api_chunks, dtype) for name, peer in _PEERS.items()},
        GRADIENT: (moments.GradientPass, workload, plan.chunks, dtype),
    }


def _table(workload: Workload, results: dict[str, Result], memory: dict[str, float]) -> Table:
    table = Table(workload.label_of_one, list(_COLUMNS))

    def cells(name: str, times: list[float], times_ours: str) -> tuple[str, ...]:
        return Spread.of(times).text(), times_ours, f"{number(memory[name] / 1e6)} MB"

    fill(table, results, OURS, cells, uncompared=GRADIENT)
    return table


def _explanation(rounds: int) -> str:
    place = "" if resident() is not None else f" ({NOT_HERE})"
    return (
        f"Median (least..greatest) of {rounds} rounds in turn; ratios are those of the rounds, "
        "which other work on the machine at the same time hits alike. Mean and variance of all "
        "parameters' gradients over the set, float32, the set in memory as two tensors. Ours is "
        "`gradient_statistics(model, (x, y))` as it stands, with its copy of the network and its "
        "trials; the others have the chunk size and the number of threads that are best for them "
        "here, chosen beforehand (Variance: the whole set, for which alone it exists), and their "
        "networks are prepared beforehand. Peak memory: what a call adds to a fresh process that "
        f"holds network and data{place}. Apart: relative difference of mean and variance from a "
        "float64 loop over samples, the larger: by the contender in float64 on a few samples "
        f"(beyond {EXACT:.0e} it is not compared); as it was timed, in float32."
    )
