"""What MLflow has otherwise than records, told."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rich.console import Console

from gsnr_sweep.records.manifest import Manifest
from gsnr_sweep.records.sent import read_sent

_MOST = 8


def tell_remarks(folders: Iterable[Path], console: Console) -> None:
    """Say which names MLflow did not take as they are, and what it did not take at all.

    Args:
        folders: Of the runs.
        console: Where to print.
    """
    told = list(dict.fromkeys(remark for each in folders for remark in read_sent(each).remarks))
    if not told:
        return
    more = f"; and {len(told) - _MOST} more" if len(told) > _MOST else ""
    console.print(
        f"Otherwise in MLflow than in record and table: {'; '.join(told[:_MOST])}{more}.",
        style="yellow",
        markup=False,
        soft_wrap=True,
    )


def tell_remarks_of_sweep(manifest: Manifest, console: Console) -> None:
    """Say so of a sweep's own runs, each thing once."""
    tell_remarks([manifest.folder_of(run) for run in manifest.to_run()], console)
