"""Whether a launch can write where it is told to, before Hydra makes any folder."""

from __future__ import annotations

import os
import re
from pathlib import Path

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.records.manifest import SWEEP_FILE

_PATTERN = re.compile(r"%\d*[A-Za-z%]")
_RESULTS = ("table.csv", "table.parquet", "statistics.csv", "left_out.csv", "report.html")
_ROOM = 120  # characters that files below it need


def judge_folder(folder: Path, key: str, sweep: bool) -> None:
    """Refuse a folder that cannot be made or written to, or in which other people's files lie.

    Args:
        folder: As the config names it.
        key: The config's key.
        sweep: Whether a sweep is written there.

    Raises:
        GsnrError: With what is wrong and what to give instead.
    """
    reason = _unusable(folder)
    if not reason and sweep:
        reason = _not_for_a_sweep(Path.cwd() / folder)
    if reason:
        name = str(folder) if len(str(folder)) < _ROOM else f"{str(folder)[:60]}…"
        raise GsnrError(f"{key}={name}: {reason}. Give another folder, such as {key}=results/new.")


def _unusable(folder: Path) -> str:
    if folder.parts and folder.parts[0].startswith("~"):
        return "~ stands for the home folder to shells only; write ${oc.env:HOME} instead"
    whole = Path.cwd() / folder
    try:
        there = next(path for path in (whole, *whole.parents) if os.path.lexists(path))
        if not there.stat() or not there.is_dir():
            return f"{there} is a file, not a folder"
        if not os.access(there, os.W_OK | os.X_OK):
            return f"{there} cannot be written to"
        return _too_long(whole, there)
    except OSError as error:
        return f"it cannot be used ({error.strerror})"


def _too_long(whole: Path, there: Path) -> str:
    longest = os.pathconf(there, "PC_NAME_MAX")
    if any(len(os.fsencode(part)) > longest for part in whole.parts):
        return f"a name in it has more than {longest} characters"
    if len(os.fsencode(whole)) + _ROOM > os.pathconf(there, "PC_PATH_MAX"):
        return "its path is too long for the files below it"
    return ""


def _not_for_a_sweep(whole: Path) -> str:
    if found := _PATTERN.search(str(whole)):
        return f"{found[0]} in its path would be replaced in the names of jobs' files"
    if (whole / SWEEP_FILE).exists():
        return ""
    if whole.resolve() == Path.cwd().resolve():
        return "that is the launch folder itself, whose files would lie among a sweep's"
    taken = [name for name in _RESULTS if (whole / name).exists()]
    return f"{taken[0]} there is of no sweep, and would be overwritten" if taken else ""
