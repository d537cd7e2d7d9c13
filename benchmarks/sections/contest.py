"""A contest: contenders that do the same work take turns, if they compute the same numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.agreement import EXACT, ROUNDED, difference
from benchmarks.memory import added_by
from benchmarks.statistics import take_turns
from benchmarks.workers import ContenderError, Worker, working

Build = tuple[Any, ...]
"""A class and its arguments."""


@dataclass
class Result:
    """How a contender did.

    Attributes:
        setting: What it chose.
        times: Seconds of its turns; empty if it is not compared.
        apart: Relative difference of its numbers from the float64 reference.
        exactly_apart: The same on a small set, when it too computes in float64.
        remark: What is added to its setting.
        problem: Why it is not compared.
        kept: What it is asked for beside, such as its setting as an object.
    """

    setting: str = ""
    times: list[float] | None = None
    apart: float = float("nan")
    exactly_apart: float = float("nan")
    remark: str = ""
    problem: str = ""
    kept: Any = None


@dataclass(frozen=True)
class Expected:
    """What contenders must find.

    Attributes:
        numbers: In float64, of the workload that is timed.
        exact: The same of a small one.
        exact_builds: The contenders in float64 on the small one.
        judged_as_timed: Those that are compared though their exact numbers are wrong or missing, if
            those are right that are timed.
    """

    numbers: NDArray[np.float64]
    exact: NDArray[np.float64]
    exact_builds: Mapping[str, Build]
    judged_as_timed: frozenset[str] = frozenset()


def hold(
    builds: Mapping[str, Build],
    expected: Expected,
    rounds: int,
    console: Console,
    keep: Callable[[str, Worker], Any] = lambda _name, _worker: None,
    base: str | None = None,
) -> dict[str, Result]:
    """Let contenders choose their settings, compare their numbers, then time them in turn.

    Args:
        builds: Class and arguments of each contender.
        expected: What each one's ``numbers`` must be.
        rounds: Turns.
        console: Where to say what is going on.
        keep: What else to ask a contender for.
        base: A contender whose numbers are not compared, since it does only part of the work.
    """
    results: dict[str, Result] = {name: Result() for name in builds}
    workers: dict[str, Worker] = {}
    try:
        for name, build in builds.items():
            console.print(f"  {name} …", style="dim", highlight=False)
            result = results[name]
            try:
                if name != base:
                    _check(result, expected, name)
                workers[name] = worker = Worker(*build)
                _admit(worker, result, None if name == base else expected.numbers)
                result.kept = keep(name, worker)
            except ContenderError as error:
                result.problem = str(error)
        ready = {name: worker for name, worker in workers.items() if not results[name].problem}
        _time(ready, results, rounds)
    finally:
        for worker in workers.values():
            worker.close()
    return results


def _check(result: Result, expected: Expected, name: str) -> None:
    try:
        with working(*expected.exact_builds[name]) as worker:
            result.exactly_apart = difference(worker.call("numbers"), expected.exact)
    except ContenderError:
        if name not in expected.judged_as_timed:
            raise
        result.remark = "; fails in float64"
        return
    if name in expected.judged_as_timed and result.exactly_apart > EXACT:
        result.remark = "; wrong on a small set"
    else:
        _refuse(result.exactly_apart, EXACT)


def _refuse(apart: float, most: float) -> None:
    if apart > most:
        raise ContenderError(f"computes something else (relative difference {apart:.1e})")


def _admit(worker: Worker, result: Result, reference: NDArray[np.float64] | None) -> None:
    result.setting = worker.call("tune") + result.remark
    if reference is not None:
        result.apart = difference(worker.call("numbers"), reference)
        _refuse(result.apart, ROUNDED)


def _time(workers: Mapping[str, Worker], results: Mapping[str, Result], rounds: int) -> None:
    for worker in workers.values():
        worker.call("work")  # warm up
    turns = {
        name: (lambda worker=worker: worker.seconds("work")) for name, worker in workers.items()
    }
    for name, times in take_turns(turns, rounds).items():
        results[name].times = times


class MemoryProbe:
    """Measures what a contender's work adds to a process that has done nothing else."""

    def added(self, build: Build, setting: Any) -> float | None:
        """Return the bytes; a pass over a few samples comes first, for what is loaded only once."""
        factory, workload, *arguments = build
        for size in (replace(workload, n=8), workload):
            contender = factory(size, *arguments)
            if setting is not None:
                contender.set_setting(setting)
            if size is not workload:
                contender.work()
        return added_by(contender.work)


def memory_of(build: Build, result: Result) -> float:
    """Return the bytes that a contender's work adds to a process of its own; NaN if unknown."""
    if result.times is None:
        return math.nan
    try:
        with working(MemoryProbe) as worker:
            added = worker.call("added", build, result.kept)
    except ContenderError:
        return math.nan
    return math.nan if added is None else added
