"""The page's first table: one line a kind of work, from the numbers of all sections."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from benchmarks.tables import Table

OURS = "gsnr-sweep"
Facts = Mapping[str, Any]


def summary(contents: Mapping[str, Mapping[str, Any] | None]) -> Table:
    """Sum up.

    Args:
        contents: What was written of each section, by name; None where it was not measured.
    """
    table = Table("In short", ["work", "measured", "compared with"])
    for name, lines in _SECTIONS.items():
        content = contents.get(name)
        for cells in lines(content["facts"]) if content else ():
            table.add(*cells)
    return table


Line = tuple[str, str, str]


def _training(facts: Facts) -> Iterator[Line]:
    peak = max(facts.get("peak_flops", {}).values(), default=0.0)
    for workload in facts.get("workloads", ()):
        times = _times(workload, "seconds")
        share = workload["flops_an_epoch"] / statistics.median(times[OURS]) / peak
        told = f"{_fastest(times)}; {share:.0%} of the float32 peak"
        yield f"a training step, {_label(workload)}", told, _peers(times)


def _moments(facts: Facts) -> Iterator[Line]:
    for workload in facts.get("workloads", ()):
        times = _times(workload, "seconds_a_pass")
        plain = times.pop("a plain gradient pass", None)
        passes = f"; {_ratio(times[OURS], plain):.2f} gradient passes" if plain else ""
        yield f"moments, {_label(workload)}", f"{_fastest(times)}{passes}", _peers(times)


def _mini_batches(facts: Facts) -> Iterator[Line]:
    for workload in facts.get("workloads", ()):
        times = _times(workload, "seconds")
        yield f"mini-batches, {_label(workload)}", _fastest(times), _peers(times)


def _normalization(facts: Facts) -> Iterator[Line]:
    for row in facts.get("rows", ()):
        work = f"batch normalization within {row['memory_limit']}, {row['workload']}"
        yield work, f"{row['ratio']:.1f} times as long", "one pass in unlimited memory"


def _start(facts: Facts) -> Iterator[Line]:
    times = facts.get("seconds", {})
    torch = times.get("`import torch`")
    for name, seconds in times.items():
        if torch and "dry_run" in name:
            yield name, f"{_ratio(seconds, torch):.1f} times as long", "`import torch`"


def _sweep(facts: Facts) -> Iterator[Line]:
    if "fixed" in facts:
        yield "fixed cost of a sweep, 2 workers", f"{facts['fixed']:.1f} s", "–"
    times = {name: one["seconds"] for name, one in facts.get("overhead", {}).items()}
    ours = times.pop("gsnr-sweep local", None)
    for name, seconds in times.items():
        if ours:
            yield "tiny runs, the whole command", f"{_ratio(seconds, ours):.1f} times as fast", name


_SECTIONS: dict[str, Callable[[Facts], Iterator[Line]]] = {
    "step": _training,
    "sgd": _mini_batches,
    "moments": _moments,
    "normalization": _normalization,
    "sweep": _sweep,
    "start": _start,
}


def _label(workload: Mapping[str, Any]) -> str:
    from benchmarks.workloads import Workload

    return Workload(**{key: workload[key] for key in ("model", "ch", "n", "n_sets")}).label


def _times(workload: Mapping[str, Any], key: str) -> dict[str, list[float]]:
    found = {name: one.get(key) for name, one in workload["contenders"].items()}
    return {name: times for name, times in found.items() if times}


def _ratio(times: Sequence[float], base: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(times, base, strict=True))


def _fastest(times: Mapping[str, Sequence[float]]) -> str:
    """Compare ours with the fastest peer."""
    ratios = [_ratio(one, times[OURS]) for name, one in times.items() if name != OURS]
    return f"{min(ratios):.1f} times as fast" if ratios else "–"


def _peers(times: Mapping[str, Sequence[float]]) -> str:
    """Name the fastest peer, and the others."""
    others = {name: _ratio(one, times[OURS]) for name, one in times.items() if name != OURS}
    ordered = sorted(others, key=others.__getitem__)
    rest = ", ".join(f"{name} {others[name]:.1f}" for name in ordered[1:])
    return "; ".join(part for part in (*ordered[:1], rest) if part) or "–"
