"""How a run is being attempted, and how it can be asked to stop."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path


class RunControl:
    """What others want of a run under way; it looks at the end of every epoch.

    May be set from a signal handler or another thread.
    """

    def __init__(self) -> None:
        """Ask for nothing."""
        self._save = threading.Event()
        self._why = ""

    def save(self) -> None:
        """Ask for a checkpoint."""
        self._save.set()

    def stop(self, why: str) -> None:
        """Ask to write a checkpoint and stop."""
        self._why = self._why or why

    @property
    def stopping(self) -> str:
        """Return why the run is to stop, empty if it is not."""
        return self._why

    def take_save(self) -> bool:
        """Return whether a checkpoint was asked for since the last call."""
        asked = self._save.is_set()
        self._save.clear()
        return asked


@dataclass(frozen=True)
class Attempt:
    """One attempt at a run.

    Attributes:
        number: From 1.
        resume_from: Folder of an earlier launch's interrupted run with the same identity.
        request: What others want.
        sharing_memory: Processes that may want at the same time what memory is left; 1 where all
            of them are known to fit.
    """

    number: int = 1
    resume_from: Path | None = None
    request: RunControl = field(default_factory=RunControl)
    sharing_memory: int = 1
