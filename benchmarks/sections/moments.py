"""Section 2: one pass over a set that gives Σ g and Σ g² for every parameter."""

from __future__ import annotations

from functools import partial
from typing import Any

from rich.console import Console

from benchmarks import ours
from benchmarks.agreement import EXACT
from benchmarks.memory import NOT_HERE, resident
from benchmarks.peers import moments as peers
from benchmarks.peers.optional import has_jax, jax_moments
from benchmarks.plans import Plan
from benchmarks.sections.contest import Build, Result
from benchmarks.sections.contested import contested, facts_of, fill
from benchmarks.statistics import Spread, number, ratio
from benchmarks.tables import Section, Table
from benchmarks.workloads import Workload

OURS, GRADIENT = "gsnr-sweep", "a plain gradient pass"
_PEERS: dict[str, Any] = {
    "BackPACK": peers.BackPack,
    "Opacus": peers.Opacus,
    "torch.func vmap(grad)": peers.VmapGrad,
    "sample loop": peers.SampleLoop,
}
_JAX = "JAX vmap(grad)"
_COLUMNS = ["", "s a pass", "times ours", "gradient passes", "peak memory", "its setting", "apart"]


def run(plan: Plan, console: Console) -> Section:
    """Time every workload and measure everybody's memory.

    Args:
        plan: Sizes.
        console: Where to say what is going on.
    """
    tables, facts = [], []
    for workload in plan.moments:
        console.print(f"moments: {workload.label}", highlight=False)
        asked, names = ("moments", partial(_contenders, plan)), {"ours": OURS, "base": GRADIENT}
        results, memory = contested(workload, *asked, plan.rounds, console, **names)
        tables.append(_table(workload, results, memory))
        facts.append(facts_of(workload, results, "seconds_a_pass", workload.n_sets, memory))
    tables[-1].notes.append(_explanation(plan.rounds))
    return Section("moments", tables, {"workloads": facts})


def _contenders(plan: Plan, workload: Workload, dtype: str) -> dict[str, Build]:
    return {
        OURS: (ours.MomentPasses, workload, dtype),
        GRADIENT: (peers.GradientPass, workload, plan.chunks, dtype),
        **{name: (peer, workload, plan.sample_chunks, dtype) for name, peer in _PEERS.items()},
        **({_JAX: (jax_moments, workload, plan.sample_chunks, dtype)} if has_jax() else {}),
    }


def _table(workload: Workload, results: dict[str, Result], memory: dict[str, float]) -> Table:
    passes = workload.n_sets
    table = Table(workload.label, list(_COLUMNS))
    gradient = results[GRADIENT].times

    def cells(name: str, times: list[float], times_ours: str) -> tuple[str, ...]:
        return (
            Spread.of([time / passes for time in times]).text(),
            times_ours,
            ratio(times, gradient).text() if gradient else "–",
            f"{number(memory[name] / 1e6)} MB",
        )

    fill(table, results, OURS, cells, uncompared=GRADIENT)
    return table


def _explanation(rounds: int) -> str:
    place = "" if resident() is not None else f" ({NOT_HERE})"
    return (
        f"Median (least..greatest) of {rounds} rounds in turn. A turn is M passes, one over each "
        "of M sets, by which every core has work: ours side by side, one thread each, the others "
        "one after the other with the threads that suit them best; a pass is an M-th of it. "
        "Gradient passes: time over that of an ordinary gradient of the same sets, float32, in its "
        "best chunks. Peak memory: what a turn adds to a fresh process that holds network and data"
        f"{place}. Batch normalization uses the set's statistics, fixed. Apart: relative "
        "difference of Σ g and Σ g² from a float64 loop over samples, the larger: by the contender "
        f"in float64 on a few samples (beyond {EXACT:.0e} it is not compared); as it was timed, in "
        "float32. Ours also counts the signs."
    )
