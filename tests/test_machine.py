"""Memory that a process may have: the least of the machine's and its control groups'."""

import os
from pathlib import Path

import pytest

from gsnr_sweep import machine
from gsnr_sweep.machine import memory_limit

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
