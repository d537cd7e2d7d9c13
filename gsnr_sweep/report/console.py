"""What a person reads in the terminal after a sweep has been aggregated."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from gsnr_sweep.analysis.claim import FAILS, HOLDS, UNCLEAR
from gsnr_sweep.wording import describe_epoch

if TYPE_CHECKING:
    from rich.console import Console

    from gsnr_sweep.analysis.statistics import PairStatistics
    from gsnr_sweep.analysis.table import LeftOut, SweepTable
    from gsnr_sweep.papers import Claim

MAX_LEFT_OUT = 10
UNDEFINED = "–"
VERDICT_STYLES = {HOLDS: "bold green", FAILS: "bold red", UNCLEAR: "bold yellow"}


def print_statistics(
    console: Console,
    sweep: SweepTable,
    by_epoch: Mapping[float, PairStatistics],
    x: str,
    y: str,
) -> None:
    """Print the statistics of every epoch, what is undefined in them, and the runs left out."""
    total = sweep.runs + len(sweep.left_out)
    about = f"{y} against {x}, " if by_epoch else ""
    console.print(Text(f"{sweep.name}: {about}{sweep.runs} of {total} runs", "bold"))
    if not by_epoch:
        _print_left_out(console, sweep.left_out)
        return
    console.print(statistics_view(by_epoch))
    explained = "[95 % interval], ± 1 standard error (SE)"
    if _any_compared(by_epoch):
        explained += "; ≤ err: |LHS − RHS| ≤ its 95 % error"
    console.print(Text(explained, "dim"))
    if means := _mean_differences(by_epoch):
        console.print(Text(means))
    for note, epochs in _epochs_by_note(by_epoch).items():
        plural = "epoch" if len(epochs) == 1 else "epochs"
        console.print(Text(f"{plural} {', '.join(map(describe_epoch, epochs))}: {note}", "yellow"))
    _print_left_out(console, sweep.left_out)


def print_claims(console: Console, title: str, claims: Sequence[Claim]) -> None:
    """Print what is claimed of such runs, and whether it holds in them."""
    if not claims:
        return
    console.print(Text(f"{title}:", "bold"))
    for claim in claims:
        console.print(Text(f"{claim.verdict:<18}", VERDICT_STYLES[claim.verdict]), end="")
        console.print(Text(f" {claim.text} ({claim.source})"))
        console.print(Text(f"  {claim.evidence}", "dim"))


def print_files(
    console: Console, files: Sequence[Path], parent_id: str | None, problem: str
) -> None:
    """Print where the results are: on disk, and on the run `parent_id` if they were logged.

    Args:
        console: Where to print.
        files: The files written, all into one folder.
        parent_id: The run that holds the results as well; None if there is none.
        problem: Why the results could not be logged; empty if they could.
    """
    names = ", ".join(path.name for path in files)
    console.print(Text(f"Written to {files[0].parent}: {names}"), soft_wrap=True)
    if parent_id:
        console.print(Text(f"Logged to the sweep's run {parent_id}"), soft_wrap=True)
    if problem:
        console.print(Text(f"Not logged to the sweep's run: {problem}", "bold red"))


def statistics_view(by_epoch: Mapping[float, PairStatistics]) -> Table:
    """Lay the statistics of every epoch out as a table that 80 characters can hold."""
    table = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    for heading in ("epoch", "points"):
        table.add_column(heading, justify="right")
    for heading in ("Pearson c", "Spearman"):
        table.add_column(heading, justify="right", min_width=13)
    for heading in ("slope", "intercept"):
        table.add_column(heading, justify="right", min_width=14)
    compared = _any_compared(by_epoch)
    if compared:
        table.add_column("≤ err", justify="right")
    for epoch, s in by_epoch.items():
        cells = [
            describe_epoch(epoch),
            str(s.points),
            _with_interval(s.pearson, s.pearson_low, s.pearson_high),
            _with_interval(s.spearman, s.spearman_low, s.spearman_high),
            _with_error(s.slope, s.slope_se),
            _with_error(s.intercept, s.intercept_se),
        ]
        if compared:
            cells.append(f"{round(s.within_error * s.compared)}/{s.compared}" if s.compared else "")
        table.add_row(*map(Text, cells))
    return table


def _mean_differences(by_epoch: Mapping[float, PairStatistics]) -> str:
    """Say how LHS and RHS differ over seeds, all points of an epoch together."""
    told = [
        f"epoch {describe_epoch(epoch)} {s.mean_difference:+.3f} "
        f"[{s.mean_difference_low:+.3f},{s.mean_difference_high:+.3f}] p={s.mean_difference_p:.2g}"
        for epoch, s in by_epoch.items()
        if not math.isnan(s.mean_difference_p)
    ]
    return f"mean LHS − RHS over seeds: {'; '.join(told)}" if told else ""


def _any_compared(by_epoch: Mapping[float, PairStatistics]) -> bool:
    return any(s.compared for s in by_epoch.values())


def _with_interval(value: float, low: float, high: float) -> str:
    """Write ``0.980 [0.971,0.988]``, which breaks only before the bracket."""
    if math.isnan(value):
        return UNDEFINED
    if math.isnan(low):
        return f"{value:.3f}"
    return f"{value:.3f} [{low:.3f},{high:.3f}]"


def _with_error(value: float, error: float) -> str:
    if math.isnan(value):
        return UNDEFINED
    return f"{value:.3f}" if math.isnan(error) else f"{value:.3f} ± {error:.3f}"


def _epochs_by_note(by_epoch: Mapping[float, PairStatistics]) -> dict[str, list[float]]:
    """Return the notes with the epochs each holds for."""
    epochs: dict[str, list[float]] = {}
    for epoch, statistics in by_epoch.items():
        for note in statistics.notes:
            epochs.setdefault(note, []).append(epoch)
    return epochs


def _print_left_out(console: Console, left_out: Sequence[LeftOut]) -> None:
    if not left_out:
        return
    plural = "run" if len(left_out) == 1 else "runs"
    console.print(Text(f"{len(left_out)} {plural} left out:", "bold yellow"))
    for run in left_out[:MAX_LEFT_OUT]:
        console.print(Text(f"  {run}"))
    if len(left_out) > MAX_LEFT_OUT:
        console.print(Text(f"  and {len(left_out) - MAX_LEFT_OUT} more, all in left_out.csv"))
