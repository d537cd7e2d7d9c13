"""Where runs and sweeps lie on disk."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from gsnr_sweep.records.status import STATUS_FILE


def search_roots(launch_folder: Path, sweep_dir: Path | None = None) -> list[Path]:
    """Return the folders in which earlier runs may lie.

    Args:
        launch_folder: Where sweeps and single runs are put by default.
        sweep_dir: The sweep's folder, which the user may have put elsewhere. What lies beside it
            there may be anybody's: results are taken from the folder that was named, from no other.
    """
    roots = [launch_folder / "multirun", launch_folder / "outputs"]
    if sweep_dir is not None and sweep_dir not in (launch_folder, *launch_folder.parents):
        roots.append(sweep_dir)
    return list(dict.fromkeys(roots))


def run_folders(roots: Iterable[Path]) -> list[Path]:
    """Find run folders below the roots: DATE/TIME/NUMBER of a sweep, DATE/TIME of a run alone."""
    places = ["*/", "*/*/", "*/*/*/", "*/*/from-*/*/"]
    patterns = [f"{place}{STATUS_FILE}" for place in places]
    found = {path.parent.resolve() for root in roots for p in patterns for path in root.glob(p)}
    # A sweep's process that sends to MLflow has a status of its own, in a hidden folder.
    return sorted(folder for folder in found if not folder.name.startswith("."))
