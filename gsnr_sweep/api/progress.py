"""A bar for work that takes long, on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Advance = Callable[[int], None]
_PATIENCE = 2.0  # seconds without a bar


@contextmanager
def shown(what: str, total: int | None, wanted: bool | None) -> Iterator[Advance]:
    """Show how many samples are done, once it has taken some seconds.

    Args:
        what: Is being done.
        total: Samples in all; None if that is not known.
        wanted: True, False, or None: if errors are printed to a terminal.

    Yields:
        To be called with the number of samples that were done.
    """
    if wanted is None:
        wanted = sys.stderr is not None and sys.stderr.isatty()
    start, done, bar, place = time.monotonic(), 0, None, None

    def advance(samples: int) -> None:
        nonlocal done, bar, place
        done += samples
        if bar is None and wanted and time.monotonic() - start > _PATIENCE:
            bar, place = _bar(what, total)
        if bar is not None:
            bar.update(place, completed=done)

    try:
        yield advance
    finally:
        if bar is not None:
            bar.stop()


def _bar(what: str, total: int | None) -> tuple[Any, Any]:
    from rich.errors import LiveError
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from gsnr_sweep.terminal import TextConsole

    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed} samples")
    bar = Progress(
        *columns, TimeRemainingColumn(), console=TextConsole(stderr=True), transient=True
    )
    place = bar.add_task(what, total=total)
    try:
        bar.start()
    except LiveError:  # the caller shows a bar of its own
        bar.disable = True
    return bar, place
