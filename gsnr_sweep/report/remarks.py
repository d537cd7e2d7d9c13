"""What MLflow has otherwise than the records of a sweep, told."""

from __future__ import annotations

from rich.console import Console

from gsnr_sweep.records.manifest import Manifest
from gsnr_sweep.tracking.sync import remarks_of

_MOST = 8


def tell_remarks(manifest: Manifest, console: Console) -> None:
    """Say which names MLflow did not take as they are, and what it did not take at all."""
    told = remarks_of(manifest) if manifest.uri else []
    if not told:
        return
    more = f"; and {len(told) - _MOST} more" if len(told) > _MOST else ""
    console.print(
        f"Otherwise in MLflow than in record and table: {'; '.join(told[:_MOST])}{more}.",
        style="yellow",
        markup=False,
        soft_wrap=True,
    )
