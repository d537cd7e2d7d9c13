"""The plan of a launch: what will be run, in a dozen lines, before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from gsnr_sweep.preflight import CheckedPoint


def show_plan(
    points: Sequence[CheckedPoint],
    axes: dict[str, list[str]],
    workers: str,
    records: Path,
    tracking: str,
) -> Panel:
    """Draw the plan.

    Args:
        points: The runs.
        axes: Swept keys with their values.
        workers: How the runs are spread, in words.
        records: Folder of the runs' records.
        tracking: Where results are tracked, in words.
    """
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, text in _lines(points, axes):
        table.add_row(name, text)
    table.add_row("workers", workers)
    table.add_row("records", str(records))
    table.add_row("tracking", tracking)
    runs = "1 run" if len(points) == 1 else f"{len(points)} runs"
    return Panel(Group(table), title=Text(f"plan: {runs}"), title_align="left", expand=False)


def _lines(points: Sequence[CheckedPoint], axes: dict[str, list[str]]) -> list[tuple[str, str]]:
    cfg = points[0].cfg
    grid = " × ".join(f"{key} ∈ {{{', '.join(values)}}}" for key, values in axes.items())
    parameters = sorted({point.n_parameters for point in points})
    span = f"{parameters[0]:,}" + (f" to {parameters[-1]:,}" if len(parameters) > 1 else "")
    fixed = [key for key in ("n", "ch", "p_random") if key not in axes]
    setting = ", ".join(f"{key}={getattr(cfg, key)}" for key in fixed)
    swept = {
        "data": "data" in axes or "data.name" in axes,
        "model": any(key == "model" or key.startswith("model.") for key in axes),
    }
    return [
        ("grid", "; ".join(part for part in (grid, setting) if part)),
        ("data", "as swept" if swept["data"] else _data_line(points[0])),
        ("model", f"{'as swept' if swept['model'] else _model_line(points[0])}, {span} parameters"),
        (
            "training",
            f"{_span(points, 'n_sets')} replicas, {_span(points, 'epochs')} epochs of full-batch "
            f"gradient descent, lr {_span(points, 'lr')}",
        ),
        (
            "measured",
            f"at epochs {_schedules(points)}, test set of {_span(points, 'n_test')}",
        ),
        ("compute", f"about {_tera(sum(point.flops for point in points))} in all"),
    ]


def _data_line(point: CheckedPoint) -> str:
    data = point.cfg.data
    if point.cfg.p_random == 0:
        return data.name
    return f"{data.name}, test labels {'randomized too' if data.noisy_test else 'clean'}"


def _model_line(point: CheckedPoint) -> str:
    return f"{point.cfg.model.name}, initial weights '{point.cfg.model.init}'"


def _span(points: Sequence[CheckedPoint], key: str) -> str:
    values = sorted({getattr(point.cfg, key) for point in points})
    return f"{values[0]}" if len(values) == 1 else f"{values[0]} to {values[-1]}"


def _schedules(points: Sequence[CheckedPoint]) -> str:
    schedules = list(dict.fromkeys(_short(point.cfg.measure_at) for point in points))
    return schedules[0] if len(schedules) == 1 else "as swept"


def _short(epochs: Sequence[int]) -> str:
    if len(epochs) <= 8:
        return ", ".join(map(str, epochs))
    return f"{epochs[0]}, {epochs[1]}, … {epochs[-1]} ({len(epochs)} in all)"


def _tera(flops: float) -> str:
    return f"{flops / 1e12:,.1f} TFLOP" if flops >= 1e11 else f"{flops / 1e9:,.1f} GFLOP"
