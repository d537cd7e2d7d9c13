"""Where runs and sweeps lie on disk."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from gsnr_sweep.records.status import STATUS_FILE


def search_roots(launch_folder: Path, sweep_dir: Path | None = None) -> list[Path]:
    """Return the folders in which earlier runs may lie.

    Args:
        launch_folder: Where sweeps and single runs are put by default.
        sweep_dir: The sweep's folder, which the user may have put elsewhere.
    """
    roots = [launch_folder / "multirun", launch_folder / "outputs"]
    if sweep_dir is not None:
        above = [sweep_dir, sweep_dir.parent, sweep_dir.parent.parent]
        roots += [root for root in above if root not in (launch_folder, *launch_folder.parents)]
    return list(dict.fromkeys(roots))


def run_folders(roots: Iterable[Path]) -> list[Path]:
    """Find run folders below the roots: DATE/TIME/NUMBER of a sweep, DATE/TIME of a run alone."""
    places = ["*/", "*/*/", "*/*/*/", "*/*/from-*/*/"]
    patterns = [f"{place}{STATUS_FILE}" for place in places]
    found = {path.parent.resolve() for root in roots for p in patterns for path in root.glob(p)}
    return sorted(found)
