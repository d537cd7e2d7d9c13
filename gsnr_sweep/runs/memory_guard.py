"""An error instead of an end by the kernel where memory runs out.

Linux gives memory that it does not have and, when it is used, ends a process of its choice with a
signal that cannot be heard. So while a run is at work its process may ask for no more than the
machine has left; asking for more then fails, which a run can tell of.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch

from gsnr_sweep.config.schema import Config
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.machine import memory_left, memory_limit
from gsnr_sweep.records.periodic import every

try:
    import resource
except ImportError:  # not on Windows, which does not give what it does not have
    resource = None  # type: ignore[assignment]

_STATUS = Path("/proc/self/status")
_SECONDS_BETWEEN_LOOKS = 0.5
_RESERVE = 100 * 10**6  # left to the machine
_SMALLEST = 10 * 10**6  # what a run may always ask for: telling of its end takes some
_SAID = ("can't allocate memory", "out of memory", "bad_alloc", "could not create a memory")


class OutOfMemoryError(GsnrError):
    """A run needs more memory than there is."""


@contextmanager
def within_memory(cfg: Config, device: torch.device, sharing: int = 1) -> Iterator[None]:
    """Let a block fail with an error if it needs more memory than there is.

    Args:
        cfg: The run, whose settings the error names.
        device: A GPU's memory says itself that it is full; then nothing is limited, since a GPU's
            driver reserves more than there is.
        sharing: Processes that may want what is left at the same time: each may ask for its share.

    Raises:
        OutOfMemoryError: It needs more.
    """
    with contextlib.ExitStack() as stack:
        if device.type == "cpu" and resource is not None and _taken().used:
            stack.enter_context(_limited(sharing))
        try:
            yield
        except Exception as error:
            short = next(filter(_is_short_memory, _with_causes(error)), None)
            if short is None:
                raise
            raise OutOfMemoryError(_told(cfg, device)) from short


def _with_causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what it was raised from: a measure in which memory ran out is no bug."""
    while error is not None:
        yield error
        error = error.__cause__


def _is_short_memory(error: BaseException) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(s in text for s in _SAID)


def _told(cfg: Config, device: torch.device) -> str:
    if device.type == "cpu":
        there = f"{memory_left() / 1e9:.1f} of {memory_limit() / 1e9:.1f} GB are left"
    else:
        there = f"{device} has {torch.cuda.get_device_properties(device).total_memory / 1e9:.1f} GB"
    threads = "one a core" if cfg.threads is None else cfg.threads
    return (
        f"Memory ran out ({there}). Give fewer runs at a time (hydra.launcher.workers), fewer "
        f"threads (now {threads}; each may use memory_limit={cfg.memory_limit}), a smaller "
        f"memory_limit, or less to hold: n_sets={cfg.n_sets}, n={cfg.n}, n_test={cfg.n_test}, "
        f"ch={cfg.ch}. dry_run=true says how much a run takes."
    )


@contextmanager
def _limited(sharing: int) -> Iterator[None]:
    taken = _taken()
    reserved = taken.asked_for - taken.used  # stacks of threads and the like, never used

    def follow() -> bool:
        _limit(reserved, sharing)
        return True

    follow()
    try:
        with every(_SECONDS_BETWEEN_LOOKS, follow, "memory"):
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, _AT_FIRST)


def _limit(reserved: int, sharing: int) -> None:
    """Allow what is used and what is left: what was asked for and not yet used is in the latter."""
    soft, hard = _AT_FIRST
    taken = _taken()
    left = max(memory_left() - _RESERVE, 0) // sharing
    wanted = max(taken.used + reserved + left, taken.asked_for + _SMALLEST)
    if soft != resource.RLIM_INFINITY:
        wanted = min(wanted, soft)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))


class _Taken(NamedTuple):
    """Bytes of this process; 0 where the system does not tell."""

    asked_for: int = 0  # which is what the limit counts
    used: int = 0


def _taken() -> _Taken:
    try:
        lines = [line.split() for line in _STATUS.read_text().splitlines()]
        found = {words[0]: int(words[1]) * 1024 for words in lines if words[0] in _FIELDS}
        return _Taken(*(found[name] for name in _FIELDS))
    except (OSError, ValueError, KeyError, IndexError):
        return _Taken()


_FIELDS = ("VmData:", "RssAnon:")
_AT_FIRST = resource.getrlimit(resource.RLIMIT_DATA) if resource is not None else (0, 0)
