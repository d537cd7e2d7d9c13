"""Settings of an engine: which passes it may take, and how much memory they may use."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EngineSettings:
    """How a network's passes may be computed; none of it changes what they compute.

    Attributes:
        n: Samples of a training set.
        kernels: Compiled kernels on a CPU: ``auto``, ``none`` or an instruction set.
        memory_limit: Bytes that a pass through the network may use, in each thread.
        chunk_size: Samples in one pass through the network; None: by `memory_limit`.
    """

    n: int
    kernels: str = "auto"
    memory_limit: int = 10**9
    chunk_size: int | None = None
