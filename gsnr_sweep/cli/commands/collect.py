"""``python -m gsnr_sweep collect``: aggregate what a sweep has so far, and close what is over."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from gsnr_sweep.cli.commands.closing import close_runs, close_sweep, is_complete
from gsnr_sweep.cli.commands.overview import headline, view_runs
from gsnr_sweep.cli.commands.status import is_over
from gsnr_sweep.records.manifest import Manifest
from gsnr_sweep.report.pipeline import collect
from gsnr_sweep.report.remarks import tell_remarks_of_sweep
from gsnr_sweep.tracking.sync import send_unsent


def collect_command(manifest: Manifest, console: Console) -> int:
    """Aggregate a sweep; once it is over, send what MLflow lacks and close its runs.

    Returns:
        The exit code: 0 unless something failed.
    """
    console.print(Text(headline(manifest, view_runs(manifest)), "bold"))
    over = is_over(manifest)
    if over:
        close_runs(manifest)
        unsent, problem = send_unsent(manifest)
        if unsent:
            console.print(f"{unsent} run(s) could not be sent to MLflow ({problem}).", markup=False)
    result = collect(manifest, console)
    close_sweep(manifest)
    tell_remarks_of_sweep(manifest, console)
    return 0 if result is not None and (is_complete(manifest) or not over) else 1
