"""Memory that a process may have, and what is left of it: the least of machine and groups."""

import os
from pathlib import Path

import pytest

from gsnr_sweep import machine
from gsnr_sweep.machine import memory_left, memory_limit

PHYSICAL = 10**10


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(machine, "_CGROUPS", tmp_path)
    monkeypatch.setattr(machine, "_OWN", tmp_path / "own")
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": PHYSICAL, "SC_PAGE_SIZE": 1}.__getitem__)
    return tmp_path


@pytest.mark.parametrize(
    ("own", "files", "limit"),
    [
        ("0::/a/b\n", {}, PHYSICAL),
        ("0::/a/b\n", {"a/b/memory.max": "max\n"}, PHYSICAL),
        ("0::/a/b\n", {"a/b/memory.max": "5000\n"}, 5000),
        ("0::/a/b\n", {"a/b/memory.max": "max\n", "a/memory.max": "4000\n"}, 4000),
        ("0::/\n", {"memory.max": "3000\n"}, 3000),
        ("0::/a\n", {"a/memory.max": f"{2 * PHYSICAL}\n"}, PHYSICAL),
        (
            "5:cpu:/x\n4:memory:/a/b\n",
            {"memory/a/b/memory.limit_in_bytes": "2000\n", "x/memory.max": "1\n"},
            2000,
        ),
        ("4:cpu,memory:/of/the/host\n", {"memory/memory.limit_in_bytes": "1000\n"}, 1000),
        ("4:memory:/\n", {"memory/memory.limit_in_bytes": str(2**63 - 4096)}, PHYSICAL),
    ],
)
def test_the_least_limit_counts(groups: Path, own: str, files: dict[str, str], limit: int) -> None:
    (groups / "own").write_text(own)
    for name, text in files.items():
        (groups / name).parent.mkdir(parents=True, exist_ok=True)
        (groups / name).write_text(text)
    assert memory_limit() == limit


def test_a_machine_without_groups(groups: Path) -> None:
    assert memory_limit() == PHYSICAL


@pytest.fixture
def available(groups: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    text = "MemTotal: 9000 kB\nMemAvailable:    3900 kB\nBuffers: 1 kB\nSwapFree:   100 kB\n"
    (groups / "meminfo").write_text(text)
    monkeypatch.setattr(machine, "_MEMINFO", groups / "meminfo")
    return groups


def _group(folder: Path, names: tuple[str, str, str], limit: str, used: int, cached: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(limit)
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\n{names[2]} {cached}\ninactive_anon 3\n")


def test_what_is_left_is_the_least_of_machine_and_groups(available: Path) -> None:
    assert memory_left() == 4000 * 1024
    (available / "own").write_text("0::/a/b\n")
    names = ("memory.max", "memory.current", "inactive_file")
    _group(available / "a/b", names, "max\n", 10, 0)
    assert memory_left() == 4000 * 1024
    _group(available / "a", names, "3000000\n", 2_500_000, 100_000)
    assert memory_left() == 600_000
    (available / "own").write_text("4:memory:/c\n")
    old = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    _group(available / "memory/c", old, "2000000\n", 1_900_000, 50_000)
    assert memory_left() == 150_000


def test_a_system_that_does_not_tell_what_is_available(
    groups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_MEMINFO", groups / "nothing")
    pages = {"SC_AVPHYS_PAGES": 700, "SC_PAGE_SIZE": 10}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)
    assert memory_left() == 7000
