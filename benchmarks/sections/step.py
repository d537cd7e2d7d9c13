"""Section 1: an epoch of full-batch gradient descent of M replicas."""

from __future__ import annotations

import shutil

from rich.console import Console

from benchmarks import ours
from benchmarks.agreement import EXACT, Reference, small
from benchmarks.machine import Peak, cores
from benchmarks.peers.optional import has_jax, jax_replicas
from benchmarks.peers.training import CompiledLoop, PlainLoop, VmapReplicas
from benchmarks.plans import Plan
from benchmarks.sections.contest import Build, Expected, Result, hold
from benchmarks.sections.contested import facts_of, fill
from benchmarks.statistics import Spread, number
from benchmarks.tables import Section, Table
from benchmarks.workers import working
from benchmarks.workloads import Workload

OURS, LOOP, VMAP, COMPILED = "gsnr-sweep", "plain loop", "torch.func vmap", "torch.compile"
JAX = "JAX"
_COMPILERS = ("g++", "clang++", "c++")
_COLUMNS = ["", "s an epoch", "times ours", "GFLOP/s", "of the peak", "its setting", "apart"]


def run(plan: Plan, console: Console) -> Section:
    """Time every workload.

    Args:
        plan: Sizes.
        console: Where to say what is going on.
    """
    with working(Peak) as worker:
        peak = worker.call("flops_per_second", cores(), *plan.peak)
        one = worker.call("flops_per_second", 1, *plan.peak)
    peak = max(peak, one)
    tables, facts = [], {"peak_flops": {"1": one, str(cores()): peak}, "workloads": []}
    for workload, epochs in plan.steps:
        console.print(f"training: {workload.label}", highlight=False)
        expected, flops = _expected(plan, workload)
        results = hold(_contenders(plan, workload, epochs), expected, plan.rounds, console)
        results |= _skipped(plan)
        results |= {} if has_jax() else {JAX: Result(problem="skipped: it is not installed")}
        tables.append(_table(workload, results, epochs, flops, peak))
        known = facts_of(workload, results, "seconds", epochs)
        facts["workloads"].append({**known, "flops_an_epoch": flops})
    tables[-1].notes.append(_explanation(peak, one, plan.rounds))
    return Section("step", tables, facts)


def _expected(plan: Plan, workload: Workload) -> tuple[Expected, float]:
    """Compute what all must find, and the operations of an epoch."""
    few = small(workload)
    builds = _contenders(plan, few, 1, "float64")
    with working(Reference) as worker:
        numbers, exact = (worker.call("gradients", one) for one in (workload, few))
        flops = worker.call("flops", workload) * workload.n * workload.n_sets
    return Expected(numbers, exact, builds, frozenset({COMPILED})), flops


def _contenders(
    plan: Plan, workload: Workload, epochs: int, dtype: str = "float32"
) -> dict[str, Build]:
    found: dict[str, Build] = {
        OURS: (ours.Training, workload, epochs, dtype),
        LOOP: (PlainLoop, workload, epochs, plan.chunks, dtype),
        VMAP: (VmapReplicas, workload, epochs, plan.chunks, dtype),
    }
    if not _skipped(plan):
        found[COMPILED] = (CompiledLoop, workload, epochs, plan.compiled_chunks, dtype)
    if has_jax():
        found[JAX] = (jax_replicas, workload, epochs, plan.chunks, dtype)
    return found


def _skipped(plan: Plan) -> dict[str, Result]:
    if not plan.compiled_chunks:
        return {COMPILED: Result(problem="skipped: compiling takes longer than --quick may")}
    if not any(map(shutil.which, _COMPILERS)):
        return {COMPILED: Result(problem="skipped: it needs a C++ compiler and there is none here")}
    return {}


def _table(
    workload: Workload, results: dict[str, Result], epochs: int, flops: float, peak: float
) -> Table:
    table = Table(workload.label, list(_COLUMNS))

    def cells(_: str, times: list[float], times_ours: str) -> tuple[str, ...]:
        seconds = Spread.of([time / epochs for time in times])
        speed = flops / seconds.median
        return seconds.text(), times_ours, number(speed / 1e9), f"{speed / peak:.0%}"

    fill(table, results, OURS, cells)
    return table


def _explanation(peak: float, one: float, rounds: int) -> str:
    return (
        f"Median (least..greatest) of {rounds} rounds in turn; ratios are those of the rounds. "
        f"Peak: {peak / 1e9:.0f} GFLOP/s in float32 matrix products on {cores()} cores "
        f"({one / 1e9:.0f} on one); FLOPs are those of the plain network's convolutions and "
        "products, of which ours leaves out what pooling stops. Apart: the largest relative "
        "difference of the first and the last replica's gradient from autograd in float64: by the "
        f"contender in float64 on a few samples (beyond {EXACT:.0e} it is not compared, but for "
        "torch.compile, which gives zeros for convolutions in some batches as small as that); as "
        "it was timed, in float32, where a ReLU now and then is decided otherwise."
    )
