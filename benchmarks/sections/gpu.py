"""Section 9: what only a GPU can show; ``python -m benchmarks gpu``."""

from __future__ import annotations

import time

import torch
from rich.console import Console

from benchmarks import commands, ours
from benchmarks.plans import Plan
from benchmarks.statistics import Spread, number, ratio, take_turns
from benchmarks.tables import Section, Table
from benchmarks.workers import working

_ABSENT = (
    "Not measured: PyTorch finds no GPU here. `python -m benchmarks gpu` on a machine with one."
)


def run(plan: Plan, console: Console) -> Section:
    """Measure on a GPU; in the quick form without one, rehearse on the CPU.

    Args:
        plan: Sizes.
        console: Where to say what is going on.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu" if plan.quick else ""
    if not device:
        return Section("gpu", [Table("GPU", ["", ""], notes=[_ABSENT])], {})
    name = torch.cuda.get_device_name() if device == "cuda" else "none: rehearsed on the CPU"
    console.print(f"GPU: {name}", highlight=False)
    peak = _peak(device, plan)
    steps, facts = _steps(plan, device, peak, console)
    steps.notes.append(
        f"{name}. Peak: {peak / 1e12:.3g} TFLOP/s in float32 matrix products without TF32. FLOPs "
        "are those of the plain network. Memory: the largest that PyTorch's allocator held."
    )
    tables = [steps, _both_sides(plan, device), _shared(plan, device)]
    return Section("gpu", tables, {"device": name, "peak_flops": peak, "steps": facts})


def _peak(device: str, plan: Plan) -> float:
    """Return the best of many float32 matrix products, operations a second."""
    torch.backends.cuda.matmul.allow_tf32 = False
    sizes, repeats = plan.gpu_peak
    best = 0.0
    for size in sizes:
        a = torch.randn(size, size, device=device)
        for _ in range(repeats):
            _wait(device)
            started = time.perf_counter()
            a @ a
            _wait(device)
            best = max(best, 2 * size**3 / (time.perf_counter() - started))
    return best


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _steps(
    plan: Plan, device: str, peak: float, console: Console
) -> tuple[Table, list[dict[str, object]]]:
    columns = ["", "s an epoch", "TFLOP/s", "of the peak", "without CUDA graph", "with TF32"]
    table = Table("Training steps and moments", [*columns, "s of moments", "memory [GB]"])
    facts = []
    for workload, epochs in plan.gpu_steps:
        console.print(f"GPU: {workload.label}", highlight=False)
        ways = {"as it comes": (True, False), "no graph": (False, False), "tf32": (True, True)}
        times = {}
        for way, (graphs, tf32) in ways.items():
            with working(ours.GpuTraining, workload, epochs, device, graphs, tf32) as worker:
                worker.call("work")  # captures and warms up
                turns = {way: lambda worker=worker: worker.seconds("work")}
                times |= take_turns(turns, plan.rounds)  # type: ignore[arg-type]
                if way == "as it comes":
                    moments, flops, memory = (
                        worker.call(what) for what in ("moments", "flops", "memory")
                    )
        own = [seconds / epochs for seconds in times["as it comes"]]
        speed = flops / Spread.of(own).median
        others = (ratio(times[way], times["as it comes"]).text() for way in ("no graph", "tf32"))
        cells = Spread.of(own).text(), number(speed / 1e12), f"{speed / peak:.0%}", *others
        table.add(workload.label, *cells, number(moments), number(memory / 1e9))
        facts.append({"workload": workload.label, "seconds": own, "flops": flops, "times": times})
    return table, facts


def _both_sides(plan: Plan, device: str) -> Table:
    """Compare both sides of eq. (19) with and without TF32, and in float64."""
    overrides = [*(f"{key}={value}" for key, value in plan.point.items()), f"device={device}"]
    ways = {"float32": (), "float32 with TF32": ("tf32=true",), "float64": ("dtype=float64",)}
    table = Table(f"Both sides of eq. (19): {' '.join(overrides)}", ["", "epoch", "LHS", "RHS"])
    for name, more in ways.items():
        for epoch, lhs, rhs in ours.both_sides(*overrides, *more):
            table.add(name, f"{epoch:g}", f"{lhs:.6g}", f"{rhs:.6g}")
    return table


def _shared(plan: Plan, device: str) -> Table:
    """Time a sweep whose runs share the GPU, by the number of workers."""
    keys = {**plan.sweep, **plan.sweep_fixed, "device": device}
    overrides = [f"{key}={value}" for key, value in keys.items()]
    table = Table(f"Runs on one GPU: {' '.join(overrides)}", ["workers", "whole command [s]"])
    store = commands.migrated_store()
    for workers in plan.gpu_workers:
        line = commands.ours([*overrides, f"hydra.launcher.workers={workers}"], multirun=True)
        table.add(str(workers), number(commands.run(line, store).seconds))
    return table
