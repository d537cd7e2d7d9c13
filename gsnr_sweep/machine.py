"""How much memory this process may have, and how much is left."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_MEMINFO = Path("/proc/meminfo")
_USAGES = {
    "memory.max": ("memory.current", "inactive_file "),
    "memory.limit_in_bytes": ("memory.usage_in_bytes", "total_inactive_file "),
}


def memory_limit() -> int:
    """Return the bytes that this process may have: the machine's, or its control group's if fewer.

    Containers and schedulers limit a group of processes, which the machine's size says nothing of.
    """
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([physical, *_group_limits()])


def _group_limits() -> Iterator[int]:
    """Read the limits of this process's control groups and of those around them, of both versions.

    In a container the path may be one of the host's: its outermost group is what is seen.
    """
    for folder, name in _limited_groups():
        for place in (folder, *folder.parents):
            try:
                yield int((place / name).read_text())
            except (OSError, ValueError):  # none there, or "max"
                continue


def _limited_groups() -> Iterator[tuple[Path, str]]:
    try:
        lines = _OWN.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield _CGROUPS / path.lstrip("/"), "memory.max"
        elif "memory" in controllers.split(","):
            yield _CGROUPS / "memory" / path.lstrip("/"), "memory.limit_in_bytes"


def memory_left() -> int:
    """Return the bytes that may still be taken: the machine's, or its control group's if fewer."""
    return min([_available(), *_left_in_groups()])


def _available() -> int:
    """What the machine can give, by swapping too; on systems that do not tell, what is free."""
    try:
        lines = [line.split() for line in _MEMINFO.read_text().splitlines()]
        found = {words[0]: int(words[1]) * 1024 for words in lines}
        return found["MemAvailable:"] + found.get("SwapFree:", 0)
    except (OSError, ValueError, KeyError, IndexError):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _left_in_groups() -> Iterator[int]:
    """What limited groups have left; of the files in the cache as much counts as goes first."""
    for folder, name in _limited_groups():
        usage, cached = _USAGES[name]
        for place in (folder, *folder.parents):
            try:
                limit, used = (int((place / file).read_text()) for file in (name, usage))
                lines = (place / "memory.stat").read_text().splitlines()
                cache = next(int(line.split()[1]) for line in lines if line.startswith(cached))
            except (OSError, ValueError, StopIteration):  # none there, or "max"
                continue
            yield limit - used + cache
