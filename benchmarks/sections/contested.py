"""What contests have in common: reference and memory of per-sample gradients, rows, facts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from rich.console import Console

from benchmarks.agreement import Reference, small
from benchmarks.peers.tuning import Setting
from benchmarks.sections.contest import Build, Expected, Result, hold, memory_of
from benchmarks.statistics import ratio
from benchmarks.tables import Table
from benchmarks.workers import Worker, working
from benchmarks.workloads import Workload


def contested(
    workload: Workload,
    asked: str,
    contenders: Callable[[Workload, str], dict[str, Build]],
    rounds: int,
    console: Console,
    *,
    ours: str,
    base: str,
    judged_as_timed: frozenset[str] = frozenset(),
) -> tuple[dict[str, Result], dict[str, float]]:
    """Hold a contest on a workload and measure everybody's memory.

    Args:
        workload: What is done.
        asked: The reference's method that gives the numbers.
        contenders: By workload and dtype.
        rounds: Turns.
        console: Where to say what is going on.
        ours: Who has no setting to be asked for.
        base: A contender that does only part of the work.
        judged_as_timed: See `Expected`.

    Returns:
        Results and bytes by name.
    """
    few = small(workload)
    with working(Reference) as worker:
        numbers, exact = (worker.call(asked, one) for one in (workload, few))

    def setting(name: str, worker: Worker) -> Setting | None:
        return None if name == ours else worker.call("get_setting")

    builds = contenders(workload, "float32")
    expected = Expected(numbers, exact, contenders(few, "float64"), judged_as_timed)
    results = hold(builds, expected, rounds, console, setting, base=base)
    return results, {name: memory_of(builds[name], results[name]) for name in builds}


def told_apart(result: Result) -> str:
    """Write how far a contender's numbers are from the reference, exactly and as timed."""
    exactly = "–" if math.isnan(result.exactly_apart) else f"{result.exactly_apart:.0e}"
    return f"{exactly}; {result.apart:.0e}"


def fill(
    table: Table,
    results: dict[str, Result],
    ours: str,
    cells: Callable[[str, list[float], str], tuple[str, ...]],
    *,
    uncompared: str = "",
) -> None:
    """Add a row for each contender, whose last two cells are its setting and how far it is apart.

    Args:
        table: Is added to.
        results: By name.
        ours: Whose times the others' are compared with.
        cells: From name, times and their ratio to ours to the cells between.
        uncompared: A contender that does only part of the work.
    """
    base = results[ours].times
    for name, result in results.items():
        if result.times is None:
            table.add(name, *["–"] * (len(table.columns) - 3), result.problem, "–")
            continue
        times_ours = ratio(result.times, base).text() if base else "–"
        apart = "–" if name == uncompared else told_apart(result)
        table.add(name, *cells(name, result.times, times_ours), result.setting, apart)


def facts_of(
    workload: Workload,
    results: dict[str, Result],
    seconds: str,
    turn: int = 1,
    memory: dict[str, float] | None = None,
) -> dict[str, Any]:
    """Return what is kept of a contest as numbers.

    Args:
        workload: What was done.
        results: By name.
        seconds: What the times are called.
        turn: How often that was done in a turn.
        memory: Bytes by name.
    """
    contenders = {
        name: {
            seconds: [time / turn for time in result.times or []],
            **({} if memory is None else {"peak_bytes": memory[name]}),
            "setting": result.setting,
            "apart": result.apart,
            "exactly_apart": result.exactly_apart,
            "problem": result.problem,
        }
        for name, result in results.items()
    }
    return {**asdict(workload), "contenders": contenders}
