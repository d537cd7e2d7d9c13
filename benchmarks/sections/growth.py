"""Section 4: how time and memory grow with n, ch, M and epochs, and the largest run's memory."""

from __future__ import annotations

import math
import statistics
from typing import Any

import numpy as np
from rich.console import Console
from scipy.stats import linregress

from benchmarks import commands
from benchmarks.ours import Cost, WholeRun
from benchmarks.plans import Plan
from benchmarks.statistics import number
from benchmarks.tables import Section, Table
from benchmarks.workers import working

_SYMBOLS = {"n": "n", "ch": "ch", "n_sets": "M", "epochs": "epochs"}


def run(plan: Plan, console: Console) -> Section:
    """Vary one thing at a time, then run the largest.

    Args:
        plan: Sizes.
        console: Where to say what is going on.
    """
    growth = Table("Growth", ["", "values", "seconds", "peak memory above the process [MB]"])
    growth.columns += ["exponent of time", "exponent of memory"]
    facts: dict[str, Any] = {}
    for key, (values, changed) in plan.growth.items():
        console.print(f"growth with {_SYMBOLS[key]}", highlight=False)
        base = {**plan.growth_base, **changed}
        costs = [_median_cost({**base, **_at(key, value)}, plan.growth_rounds) for value in values]
        facts[key] = _facts(values, costs, base)
        growth.add(*_row(_SYMBOLS[key], values, costs, facts[key]))
    growth.notes.append(_explanation(plan))
    console.print("memory of the largest run", highlight=False)
    memory, facts["largest"] = _largest(plan)
    return Section("growth", [growth, memory], facts)


def _at(key: str, value: int) -> dict[str, str]:
    return {key: str(value), **({"measure_at": f"[{value}]"} if key == "epochs" else {})}


def _overrides(settings: dict[str, str]) -> list[str]:
    return [f"{key}={value}" for key, value in settings.items()]


def _median_cost(settings: dict[str, str], rounds: int) -> Cost:
    """Run in fresh processes; take the medians."""
    costs = []
    for _ in range(rounds):
        with working(WholeRun) as worker:
            costs.append(worker.call("cost", *_overrides(settings)))
    return Cost(
        statistics.median(cost.seconds for cost in costs),
        statistics.median(cost.peak for cost in costs),
        costs[0].parameters,
    )


def exponent(x: list[float], y: list[float]) -> tuple[float, float]:
    """Fit y = a·x^b by least squares of the logarithms; return b and its standard error.

    With two points the error is 0, with unusable values both are NaN.
    """
    if len(x) < 2 or not all(np.isfinite(y)) or min(y) <= 0:
        return float("nan"), float("nan")
    fit = linregress(np.log(x), np.log(y))
    return float(fit.slope), float(fit.stderr)


def _facts(values: tuple[int, ...], costs: list[Cost], base: dict[str, str]) -> dict[str, Any]:
    x = [float(value) for value in values]
    seconds, peaks = [cost.seconds for cost in costs], [cost.peak for cost in costs]
    parameters = [float(cost.parameters) for cost in costs]
    return {
        "base": base,
        "values": list(values),
        "seconds": seconds,
        "peak_bytes": peaks,
        "parameters": parameters,
        "time_exponent": exponent(x, seconds),
        "memory_exponent": exponent(x, peaks),
    }


def _row(
    symbol: str, values: tuple[int, ...], costs: list[Cost], facts: dict[str, Any]
) -> list[str]:
    return [
        symbol,
        ", ".join(f"{value:,}" if value > 9999 else str(value) for value in values),
        ", ".join(number(cost.seconds) for cost in costs),
        ", ".join(number(cost.peak / 1e6) for cost in costs),
        _with_error(facts["time_exponent"]),
        _with_error(facts["memory_exponent"]),
    ]


def _with_error(fitted: tuple[float, float]) -> str:
    value, error = fitted
    return "–" if math.isnan(value) else f"{value:.2f} ± {error:.2f}"


def _explanation(plan: Plan) -> str:
    base = " ".join(_overrides(plan.growth_base))
    changed = "; ".join(
        f"for {_SYMBOLS[key]} {' '.join(_overrides(other))}"
        for key, (_, other) in plan.growth.items()
        if other
    )
    return (
        f"Around {base}{f' ({changed})' if changed else ''}. Each run in "
        f"{plan.growth_rounds} fresh processes, medians: seconds of training and measuring, "
        "without starting and drawing data; memory that the run adds to a process that has made a "
        "tiny run before, data included. Exponents: least squares of the logarithms with standard "
        "errors. One measurement is part of each run, and its test set does not grow; the number "
        "of parameters grows with ch²."
    )


def _largest(plan: Plan) -> tuple[Table, dict[str, Any]]:
    overrides = _overrides(plan.largest)
    with working(WholeRun) as worker:
        stated = worker.call("stated_memory", *overrides)
    ran = commands.run(commands.ours(overrides))
    summary = ran.records[0]["summary"]
    peak = summary["peak_memory_mb"] * 1e6
    table = Table(
        "Memory of the largest run", ["", "whole process at its peak", "stated by the plan"]
    )
    cells = f"{number(peak / 1e9)} GB", f"{number(stated / 1e9)} GB"
    table.add(" ".join(overrides), *cells)
    within = "within" if peak <= stated else "**above**"
    table.notes.append(
        f"The peak is {within} what the plan states ({peak / stated:.0%}). A pass through the "
        "network may use `memory_limit`, by default 1 GB, in each thread; the plan adds process, "
        "data and tables to what the passes will take."
    )
    facts = {"overrides": overrides, "peak_bytes": peak, "stated_bytes": stated}
    return table, facts | {"wall_seconds": summary["wall_time_s"]}
