"""The plan of a launch: what will be run and what it will cost, before it starts.

`show_plan` is the dozen lines that every launch begins with, `show_table` the whole grid, one line
a point, for ``dry_run=true``.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from gsnr_sweep.config.schema import value_at
from gsnr_sweep.data.settings import TOKENS, CustomDataConfig, NpzConfig
from gsnr_sweep.data.targets import describe_values
from gsnr_sweep.losses.settings import CrossEntropyConfig, CustomLossConfig, HingeConfig
from gsnr_sweep.preflight.check import CheckedPoint, passes_by_part
from gsnr_sweep.preflight.cost import TIMED, Estimate
from gsnr_sweep.wording import as_typed, describe_duration, describe_epoch

_ALWAYS = {"training": "training", "steps": "measured steps"}
_MOST_ROWS = 60
_SHOWN_AT_EITHER_END = 20
_LEAST_LABEL = 14
_NUMBERS_WIDTH = 40  # of the columns with numbers, gaps included


def show_plan(
    points: Sequence[CheckedPoint],
    axes: dict[str, list[str]],
    workers: str,
    records: Path,
    tracking: str,
    *,
    estimated: str = "",
    reuse: str = "",
) -> Panel:
    """Draw the plan.

    Args:
        points: The runs.
        axes: Swept keys with their values.
        workers: How the runs are spread, in words.
        records: Folder of the runs' records.
        tracking: Where results are tracked, in words.
        estimated: What the launch will cost, as `summarize` says it; left out if empty.
        reuse: What need not be run again, in words; left out if empty.
    """
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, text in _lines(points, axes):
        table.add_row(name, Text(text))
    for doubt in dict.fromkeys(doubt for point in points for doubt in point.doubts):
        table.add_row("doubtful", Text(doubt))
    if estimated:
        table.add_row("estimate", Text(estimated))
    if reuse:
        table.add_row("earlier", Text(reuse))
    table.add_row("workers", Text(workers))
    table.add_row("records", Text(str(records)))
    table.add_row("tracking", Text(tracking))
    runs = "1 run" if len(points) == 1 else f"{len(points)} runs"
    return Panel(Group(table), title=Text(f"plan: {runs}"), title_align="left", expand=False)


def _lines(points: Sequence[CheckedPoint], axes: dict[str, list[str]]) -> list[tuple[str, str]]:
    cfg = points[0].cfg
    grid = " × ".join(
        f"{key} ∈ {{{', '.join(_told(points, key, values))}}}" for key, values in axes.items()
    )
    parameters = sorted({point.n_parameters for point in points})
    span = f"{parameters[0]:,}" + (f" to {parameters[-1]:,}" if len(parameters) > 1 else "")
    told = axes.keys() | ({"p_random"} if "random_labels" in axes else set())
    fixed = [key for key in ("n", "ch", "p_random") if key not in told]
    setting = ", ".join(f"{key}={getattr(cfg, key)}" for key in fixed)
    swept = {
        "data": bool({"data", "data.name", "data._target_"} & axes.keys()),
        "model": any(key == "model" or key.startswith("model.") for key in axes),
    }
    described = [] if swept["data"] else _samples_lines(points[0])
    return [
        ("grid", "; ".join(part for part in (grid, setting) if part)),
        ("data", "as swept" if swept["data"] else _data_line(points)),
        *described,
        ("model", f"{'as swept' if swept['model'] else _model_line(points[0])}, {span} parameters"),
        (
            "training",
            f"{_spanned(points, 'n_sets', 'replica')}, {_spanned(points, 'epochs', 'epoch')} of "
            f"{_rule_line(points)}, lr {_span(points, 'lr')}{_stop_line(points)}",
        ),
        ("loss", _one_of({_loss_line(point) for point in points})),
        (
            "measured",
            f"at epochs {_schedules(points)}, test set of {_span(points, 'n_test')}",
        ),
        ("compute", f"about {_tera(sum(point.flops for point in points))} in all{_parts(points)}"),
    ]


def _parts(points: Sequence[CheckedPoint]) -> str:
    """Say what measures of trained networks cost, if there are any."""
    flops: dict[str, float] = {}
    for point in points:
        for part, passes in passes_by_part(point.cfg).items():
            flops[part] = flops.get(part, 0.0) + passes * point.forward_flops
    if len(flops) == len(_ALWAYS):
        return ""
    shares = {part: 100 * own / sum(flops.values()) for part, own in flops.items()}
    shown = sorted((part for part in shares if shares[part] >= 1), key=shares.__getitem__)
    return ": " + ", ".join(
        f"{_ALWAYS.get(part, part)} {shares[part]:.0f} %" for part in reversed(shown)
    )


def _rule_line(points: Sequence[CheckedPoint]) -> str:
    """Say how weights move."""
    rules = {point.cfg.rule and point.cfg.rule.name for point in points}
    if rules == {None}:
        return "full-batch gradient descent"
    if len(rules) > 1:
        return "rules as swept"
    sizes = _span([point for point in points if point.cfg.rule], "optim.batch_size")
    return f"{points[0].cfg.optim.name} in mini-batches of {sizes}"


def _stop_line(points: Sequence[CheckedPoint]) -> str:
    rules = {
        " and ".join(f"{key.partition('.')[2]} {value_at(point.cfg, key):g}" for key in keys)
        for point in points
        if (keys := point.cfg.stop.rules)
    }
    return f"; stops at {_one_of(rules)}" if rules else ""


def _loss_line(point: CheckedPoint) -> str:
    """Say what is minimized."""
    loss, is_regression = point.cfg.loss, point.data is not None and point.data.task == "regression"
    if isinstance(loss, CustomLossConfig):
        return loss._target_
    if isinstance(loss, HingeConfig):
        over = ", summed over classes" if loss.others == "sum" else ""
        return f"hinge{over}, margin {loss.margin:g}"
    if isinstance(loss, CrossEntropyConfig) and loss.label_smoothing:
        return f"cross entropy, labels smoothed by {loss.label_smoothing:g}"
    if loss.name == "mse" or is_regression:
        return f"squared error{'' if is_regression else ' to one-hot labels'}"
    return "cross entropy"


def _one_of(told: set[str]) -> str:
    return told.pop() if len(told) == 1 else "as swept"


def _data_line(points: Sequence[CheckedPoint]) -> str:
    cfg = points[0].cfg
    data = cfg.data
    parts = [data._target_ if isinstance(data, CustomDataConfig) else data.name]
    if (size := _span(points, "data.confusion")) != "0":
        parts.append(f"beside n a confusion set of {size} with random labels")
    if cfg.p_random:
        parts.append(f"test labels {'randomized too' if data.noisy_test else 'clean'}")
    return ", ".join(parts)


def _samples_lines(point: CheckedPoint) -> list[tuple[str, str]]:
    """Say what a user's own arrays were taken for."""
    spec = point.data
    if spec is None or not isinstance(point.cfg.data, NpzConfig | CustomDataConfig):
        return []
    if spec.task == "regression":
        targets = "1 target" if spec.n_outputs == 1 else f"{spec.n_outputs:,} targets"
    else:
        labels = f" ({describe_values(spec.classes)})" if spec.classes else ""
        targets = f"{spec.n_outputs:,} classes{labels}"
    sizes = [
        f"{'any number of' if size is None else f'{size:,}'} {pool}"
        for size, pool in ((spec.n_train, "training"), (spec.n_test, "test"))
    ]
    tokens = [("inputs", "tokens")] if spec.inputs == TOKENS else []
    return [*tokens, ("task", f"{spec.task}, {targets}; {' and '.join(sizes)} samples")]


def _model_line(point: CheckedPoint) -> str:
    return f"{point.cfg.model.name}, initial weights '{point.cfg.model.init}'"


def _span(points: Sequence[CheckedPoint], key: str) -> str:
    values = sorted({value_at(point.cfg, key) for point in points})
    return f"{values[0]}" if len(values) == 1 else f"{values[0]} to {values[-1]}"


def _told(points: Sequence[CheckedPoint], key: str, values: list[str]) -> list[str]:
    """The values of an axis; those that it refers to, where it does (``${oc.env:N}``)."""
    if not any("${" in value for value in values):
        return values
    return list(dict.fromkeys(as_typed(value_at(point.cfg, key)) for point in points))


def _spanned(points: Sequence[CheckedPoint], key: str, name: str) -> str:
    span = _span(points, key)
    return f"{span} {name}" if span == "1" else f"{span} {name}s"


def _schedules(points: Sequence[CheckedPoint]) -> str:
    schedules = list(dict.fromkeys(_short(point.cfg.measured_epochs) for point in points))
    return schedules[0] if len(schedules) == 1 else "as swept"


def _short(epochs: Sequence[float]) -> str:
    told = [describe_epoch(epoch) for epoch in epochs]
    if len(told) <= 8:
        return ", ".join(told)
    return f"{told[0]}, {told[1]}, … {told[-1]} ({len(told)} in all)"


def _tera(flops: float) -> str:
    if flops >= 1e15:
        return f"{flops / 1e15:,.1f} PFLOP"
    return f"{flops / 1e12:,.1f} TFLOP" if flops >= 1e11 else f"{flops / 1e9:,.1f} GFLOP"


@dataclass(frozen=True)
class PlanRow:
    """One grid point in the table of a dry run.

    Attributes:
        label: The settings that set it apart.
        action: What will happen to it, in words, such as ``resume from epoch 40 of 100``; a further
            explanation in parentheses.
        estimate: What it will cost; None if that is unknown or nothing is to be run.
        job: Number of the job that it is packed into; None if nothing is to be run.
    """

    label: str
    action: str
    estimate: Estimate | None
    job: int | None


def show_table(
    rows: Sequence[PlanRow], workers: int, memory: int | None = None, *, full: bool = False
) -> RenderableType:
    """Draw one line a grid point, and the totals.

    Args:
        rows: The grid points in their order.
        workers: Jobs that are worked on side by side.
        memory: Bytes that they have together; None if that is not known here.
        full: Show every line of a long table, too.
    """
    totals = Table.grid(padding=(0, 2))
    totals.add_column(style="bold")
    totals.add_column(overflow="fold")
    for name, text in _totals(rows, workers, memory):
        totals.add_row(name, Text(text))
    return Group(_Lines(_ends(rows, full)), "", totals)


def summarize(rows: Sequence[PlanRow], workers: int, memory: int | None = None) -> str:
    """Say in one line what a launch will cost.

    Args:
        rows: The grid points.
        workers: Jobs that are worked on side by side.
        memory: Bytes that they have together; None if that is not known here.
    """
    due = _due(rows)
    if not due:
        return "nothing to run"
    jobs = len({row.job for row in due})
    parts = [
        f"{_count(len(due), 'run')} in {_count(jobs, 'job')}",
        f"{_wall_time(due, workers)} with {_count(min(workers, jobs), 'worker')}",
    ]
    if each := _largest(due, 1):
        parts.append(f"at most {_bytes(each)} each")
    return ", ".join(parts) + _shortage(due, workers, memory)


def is_short(rows: Sequence[PlanRow], workers: int, memory: int | None) -> bool:
    """Say whether runs side by side may need more memory than there is.

    Args:
        rows: The grid points.
        workers: Jobs that are worked on side by side.
        memory: Bytes that they have together; None if that is not known here.
    """
    return memory is not None and _largest(_due(rows), workers) > memory


def _shortage(due: Sequence[PlanRow], workers: int, memory: int | None) -> str:
    """Say what to do where runs may need more memory than there is; nothing if they do not."""
    if memory is None or not is_short(due, workers, memory):
        return ""
    fitting = next((k for k in range(workers - 1, 0, -1) if _largest(due, k) <= memory), 0)
    advice = (
        f"hydra.launcher.workers={fitting} keeps within that"
        if fitting
        else "a smaller memory_limit, fewer threads or smaller sets (n_sets, n, n_test) take less"
    )
    return (
        f". This machine has {_bytes(memory)}: a run that finds it taken ends with an error and "
        f"keeps its checkpoint; {advice}"
    )


@dataclass(frozen=True)
class _Lines:
    """The lines of the table, which share out whatever width there is."""

    rows: Sequence[PlanRow | int]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 2, 0, 0), pad_edge=False)
        table.add_column("grid point", overflow="fold", width=self._label_width(options.max_width))
        table.add_column("what happens", overflow="fold")
        for title in ("FLOP", "memory", "time", "job"):
            table.add_column(title, justify="right", no_wrap=True)
        for row in self.rows:
            table.add_row(*_cells(row))
        yield table

    def _label_width(self, width: int) -> int:
        """Give labels what they want if all else fits on one line too, else their share."""
        points = [row for row in self.rows if isinstance(row, PlanRow)]
        label = max((len(row.label) for row in points), default=0)
        action = max((len(row.action) for row in points), default=0)
        left = width - _NUMBERS_WIDTH
        return max(_LEAST_LABEL, min(label, max(left - action, left * 2 // 3)))


def _due(rows: Iterable[PlanRow]) -> list[PlanRow]:
    return [row for row in rows if row.job is not None]


def _ends(rows: Sequence[PlanRow], full: bool) -> list[PlanRow | int]:
    """Return the rows to show, and in place of the others their number."""
    if full or len(rows) <= _MOST_ROWS:
        return list(rows)
    few = _SHOWN_AT_EITHER_END
    return [*rows[:few], len(rows) - 2 * few, *rows[-few:]]


def _cells(row: PlanRow | int) -> list[Text]:
    if isinstance(row, int):
        return [Text(f"… {row} more …", style="dim")]
    cells = [row.label or "–", row.action]
    if row.estimate is None:
        cells += ["–"] * 3
    else:
        seconds, bound = row.estimate.seconds, "≤ " if row.estimate.at_most else ""
        time = "?" if seconds is None else bound + _estimated(seconds)
        flops = bound + _short_flops(row.estimate.flops)
        cells += [flops, _bytes(row.estimate.memory_bytes), time]
    cells.append("–" if row.job is None else str(row.job))
    return [Text(cell, style="" if row.job is not None else "dim") for cell in cells]


def _totals(
    rows: Sequence[PlanRow], workers: int, memory: int | None = None
) -> list[tuple[str, str]]:
    due, others = _due(rows), [row for row in rows if row.job is None]
    lines = [("to do", f"{len(due):,} of {_count(len(rows), 'grid point')}{_kinds(due)}")]
    if others:
        lines.append(("not run", f"{len(others):,}{_kinds(others)}"))
    if not due:
        return lines
    jobs = len({row.job for row in due})
    side_by_side = f"{_count(min(workers, jobs), 'worker')}, {_count(jobs, 'job')}"
    flops = sum(row.estimate.flops for row in due if row.estimate)
    return [
        *lines,
        ("compute", f"{_about(due)} {_tera(flops)}; {_wall_time(due, 1)} one run after the other"),
        ("wall time", f"{_wall_time(due, workers)} with {side_by_side}{_bases(due)}"),
        (
            "memory",
            f"at most {_bytes(_largest(due, 1))} a worker, {_bytes(_largest(due, workers))} "
            f"all workers together{_shortage(due, workers, memory)}",
        ),
    ]


def _kinds(rows: Sequence[PlanRow]) -> str:
    """Count rows by what happens, up to an explanation in parentheses or an epoch."""
    kinds = Counter(row.action.partition(" (")[0].partition(" from ")[0] for row in rows)
    if set(kinds) <= {"run"}:
        return ""
    return ": " + ", ".join(f"{count:,} {kind}" for kind, count in kinds.items())


def _bases(due: Sequence[PlanRow]) -> str:
    """Say what the times rest on."""
    bases = (row.estimate.basis if row.estimate else "unknown" for row in due)
    kinds = Counter("finished runs" if "finished" in basis else basis for basis in bases)
    words = {"finished runs": "finished runs", TIMED: "a short timing here"}
    told = [word for kind, word in words.items() if kind in kinds]
    return f" (by {' and '.join(told)})" if told else ""


def _wall_time(due: Sequence[PlanRow], workers: int) -> str:
    """Give each job to the worker that is free first, the longest first, as launchers do."""
    jobs: dict[int | None, float] = {}
    unknown = 0
    for row in due:
        seconds = row.estimate.seconds if row.estimate else None
        unknown += seconds is None
        jobs[row.job] = jobs.get(row.job, 0.0) + (seconds or 0.0)
    if unknown == len(due):
        return "an unknown time"
    busy = [0.0] * max(1, workers)
    for seconds in sorted(jobs.values(), reverse=True):
        heapq.heapreplace(busy, busy[0] + seconds)
    said = f"{_about(due)} {_estimated(max(busy))}"
    return f"{said} and {_count(unknown, 'run')} of unknown time" if unknown else said


def _about(due: Sequence[PlanRow]) -> str:
    """Say whether a sum of estimates counts epochs that a stopping rule may spare."""
    return "at most about" if any(r.estimate and r.estimate.at_most for r in due) else "about"


def _largest(due: Sequence[PlanRow], workers: int) -> int:
    """Return the memory of the `workers` hungriest jobs side by side."""
    jobs: dict[int | None, int] = {}
    for row in due:
        if row.estimate is not None:
            jobs[row.job] = max(jobs.get(row.job, 0), row.estimate.memory_bytes)
    return sum(heapq.nlargest(workers, jobs.values()))


def _estimated(seconds: float) -> str:
    return describe_duration(max(1.0, seconds))


def _count(number: int, name: str) -> str:
    return f"{number:,} {name}" if number == 1 else f"{number:,} {name}s"


def _bytes(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 0.095e9 else f"{n_bytes / 1e6:.0f} MB"


def _short_flops(flops: float) -> str:
    """Write FLOPs with three digits at most, such as ``12.3 T``."""
    for power, letter in ((15, "P"), (12, "T"), (9, "G"), (6, "M")):
        value = flops / 10**power
        if value >= 1:
            return f"{value:,.0f} {letter}" if value >= 99.95 else f"{value:.1f} {letter}"
    return f"{flops:,.0f}"
