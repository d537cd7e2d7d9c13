"""Each peer at its own best: which chunk size and how many threads suit it here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch

from benchmarks.machine import cores

_HOPELESS = 1.5


@dataclass(frozen=True)
class Setting:
    """How a peer works.

    Attributes:
        chunk: Samples in a pass.
        threads: Of PyTorch's operations.
    """

    chunk: int
    threads: int

    def describe(self, n: int) -> str:
        """Name the setting for people."""
        chunk = "whole set" if self.chunk >= n else f"chunks of {self.chunk}"
        return f"{chunk}; {self.threads} thread{'s' if self.threads > 1 else ''}"


def settings(chunks: Iterable[int], n: int) -> list[Setting]:
    """List the settings to try: chunk sizes up to n and the whole set, one thread and all cores."""
    sizes = sorted({min(chunk, n) for chunk in chunks})
    threads = sorted({1, cores()}, reverse=True)
    return [Setting(size, count) for count in threads for size in sizes]


def best_setting(candidates: Sequence[Setting], trial: Callable[[Setting], None]) -> Setting:
    """Return the fastest; what is far behind after one trial gets no second one."""
    times: dict[Setting, float] = {}
    for setting in candidates:
        seconds = timed(trial, setting)
        if seconds < _HOPELESS * min(times.values(), default=seconds):
            seconds = min(seconds, timed(trial, setting))
        times[setting] = seconds
    return min(times, key=times.__getitem__)


def timed(trial: Callable[[Setting], None], setting: Setting) -> float:
    """Return the seconds of one trial."""
    torch.set_num_threads(setting.threads)
    start = time.perf_counter()
    trial(setting)
    return time.perf_counter() - start
