"""How much memory this process may have."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")


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
