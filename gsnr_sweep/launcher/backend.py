"""Where runs are executed: one interface, this machine behind it (and clusters later)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from gsnr_sweep.run import RunResult


@dataclass(frozen=True)
class Job:
    """One run to execute.

    Attributes:
        index: Hydra's number of the run.
        name: The run's name, for people.
        folder: Output folder.
        payload: What `gsnr_sweep.launcher.worker.execute` needs, pickled.
        cost: Estimated work, in any unit.
    """

    index: int
    name: str
    folder: Path
    payload: bytes
    cost: float


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        job: The run.
        result: What it returned, None if it failed.
        error: Why it failed, in a sentence; empty if it did not.
    """

    job: Job
    result: RunResult | None
    error: str = ""


class Backend(Protocol):
    """Executes jobs somewhere."""

    def describe(self) -> str:
        """Say in words how the runs are spread."""
        ...

    def run(self, jobs: Sequence[Job], on_wait: Callable[[], Any]) -> Iterator[Outcome]:
        """Execute all jobs and yield their outcomes as they end.

        Args:
            jobs: In the order in which they should start.
            on_wait: Called a few times a second while jobs run.
        """
        ...
