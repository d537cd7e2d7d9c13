"""The states of a run, and what is done about a grid point."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """State of a run, as records, status files and MLflow's tags spell it."""

    WAITING = "waiting"
    PREPARING = "preparing"
    RUNNING = "running"
    FINISHED = "finished"
    DIVERGED = "diverged"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    KILLED = "killed"
    LOST = "lost"
    """Reported a result that is in no record: it is missing, cut off or damaged."""

    @property
    def under_way(self) -> bool:
        """Whether a process is at it, if that process lives."""
        return self in (State.PREPARING, State.RUNNING)

    @property
    def over(self) -> bool:
        """Whether nothing is left to compute; after an interruption or a kill there is."""
        return self in (State.FINISHED, State.DIVERGED, State.FAILED)

    @property
    def has_result(self) -> bool:
        """Whether it is not computed again: that training diverges is a result, too."""
        return self in (State.FINISHED, State.DIVERGED)

    @property
    def in_trouble(self) -> bool:
        """Whether it ended otherwise than it should."""
        return self in (
            *(State.DIVERGED, State.FAILED, State.INTERRUPTED, State.KILLED, State.LOST),
        )


class Action(StrEnum):
    """What is done about a grid point."""

    RUN = "run"
    """It is computed, from a checkpoint if there is one."""
    REUSE = "reuse"
    """An earlier launch finished it."""
    ELSEWHERE = "elsewhere"
    """Another launch is at it."""
    REPEAT = "repeat"
    """The grid asks for it twice."""
