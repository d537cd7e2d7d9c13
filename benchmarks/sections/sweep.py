"""Section 3b: a whole sweep: worker scaling, overhead a run, large grids."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import commands, overhead, planning
from benchmarks.plans import Plan
from benchmarks.sections.point import computing, difference, hand_options
from benchmarks.statistics import Spread, number, ratio, take_turns
from benchmarks.tables import Section, Table

HAND = "by hand, one process"


def run(plan: Plan, console: Console) -> Section:
    """Time a sweep, then tiny runs with every launcher, then planning and aggregating.

    Args:
        plan: Sizes.
        console: Where to say what is going on.
    """
    scaling, facts = _scaling(plan, console)
    tables = [scaling]
    if plan.launchers:
        console.print("overhead a run", highlight=False)
        table, found = overhead.measure(
            plan.launchers, plan.tiny_runs, 2, plan.sweep_rounds, console
        )
        table.notes.append(_fixed_and_more(plan, facts))
        tables.append(table)
        facts["overhead"] = found
    console.print("planning and aggregating", highlight=False)
    table, facts["planning"] = planning.measure(*plan.planning)
    return Section("sweep", [*tables, table], facts)


def _scaling(plan: Plan, console: Console) -> tuple[Table, dict[str, Any]]:
    keys = {**plan.sweep, **plan.sweep_fixed}
    runs = math.prod(len(values.split(",")) for values in plan.sweep.values())
    console.print(f"whole sweep of {runs} runs", highlight=False)
    overrides = [f"{key}={value}" for key, value in keys.items()]
    options = hand_options(_with_point(plan, keys))
    lines = {
        _name(workers): commands.ours(
            [*overrides, f"hydra.launcher.workers={workers}"], multirun=True
        )
        for workers in plan.workers
    }
    lines[HAND] = commands.by_hand(keys, *options)
    ran: dict[str, list[commands.Ran]] = {name: [] for name in lines}

    def turn(name: str, store: Path) -> float:
        ran[name].append(commands.run(lines[name], store))
        return ran[name][-1].seconds

    store = commands.migrated_store()
    turns = {name: (lambda name=name: turn(name, store)) for name in lines}
    times = take_turns(turns, plan.sweep_rounds)
    hand = ran[HAND][-1].output
    apart = max(difference(ran[name][-1].records, hand) for name in lines if name != HAND)
    compute = {name: [computing(one) for one in found] for name, found in ran.items()}
    table = _table(plan, runs, times, compute)
    table.notes.append(_explanation(plan, times, apart, options))
    facts = {"runs": runs, "seconds": times, "computing": compute, "apart": apart}
    return table, facts


def _name(workers: int) -> str:
    return f"gsnr-sweep, {workers} worker{'s' if workers > 1 else ''}"


def _with_point(plan: Plan, keys: dict[str, str]) -> Plan:
    return replace(plan, point=keys)


def _table(
    plan: Plan, runs: int, times: dict[str, list[float]], compute: dict[str, list[float]]
) -> Table:
    what = " ".join(f"{key}={value}" for key, value in {**plan.sweep, **plan.sweep_fixed}.items())
    base = times[_name(plan.workers[0])]
    columns = ["", "whole command [s]", "times the first", "a run beside computing [s]"]
    table = Table(f"A sweep of {runs} runs: {what}", columns)
    for name, seconds in times.items():
        workers = next((count for count in plan.workers if _name(count) == name), 1)
        beside = [
            (whole - computed / workers) / runs
            for whole, computed in zip(seconds, compute[name], strict=True)
        ]
        table.add(
            name,
            Spread.of(seconds).text(),
            ratio(seconds, base).text(),
            number(Spread.of(beside).median, 2),
        )
    return table


def _explanation(
    plan: Plan, times: dict[str, list[float]], apart: float, options: list[str]
) -> str:
    several, *fewer = plan.workers
    scaling = " ".join(
        f"From {count} to {several} workers the whole command is "
        f"{ratio(times[_name(count)], times[_name(several)]).text()} times as fast."
        for count in fewer
    )
    return (
        f"Each {plan.sweep_rounds} times in turn. A worker has one thread. "
        f"{scaling} Beside computing: what a run costs of the "
        "whole command beyond training and measuring: its share of start and end, the drawing of "
        f"its data, MLflow. By hand ({' '.join(options)}): one process, run after run, PyTorch's "
        f"own number of threads. All numbers agree within {apart:.0e}."
    )


def _fixed_and_more(plan: Plan, facts: dict[str, Any]) -> str:
    """Measure what is fixed and what a run more costs, from a small and a large sweep of ours."""
    few = max(2, plan.tiny_runs // 8)
    store = commands.migrated_store()
    small = [overhead.launch("gsnr-sweep local", few, 2, store)[0] for _ in range(2)]
    large = [overhead.launch("gsnr-sweep local", plan.tiny_runs, 2, store)[0] for _ in range(2)]
    each = (min(large) - min(small)) / (plan.tiny_runs - few)
    facts["a_run_more"], facts["fixed"] = each, min(small) - few * each
    return (
        f"Medians of {plan.sweep_rounds} turns. Of ours about {facts['fixed']:.1f} s are fixed; a "
        f"run more costs {each:.3f} s ({few} against {plan.tiny_runs} runs). Only ours checks "
        "the grid first, estimates its cost, gathers the runs under a parent run, and ends with a "
        "table, a figure and coefficients."
    )
