"""The end of a log, which may have grown to gigabytes."""

from __future__ import annotations

from pathlib import Path

_MOST_LINES = 12
_MOST_BYTES = 2**20


def last_lines(path: Path, count: int = _MOST_LINES) -> list[str]:
    """Return the last lines of a log, without blank ones; none if it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _MOST_BYTES))
            text = file.read(_MOST_BYTES).decode(errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()][-count:]
