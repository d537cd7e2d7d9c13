"""What processes that are started for a sweep have in common."""

import os
import subprocess
import sys

import pytest

from gsnr_sweep.launcher.backends.base import without_our_outputs
from gsnr_sweep.launcher.jobs import own_path
from tests.conftest import ROOT


def test_processes_started_meanwhile_hold_no_pipe_of_ours(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Who reads this process's output would wait for them."""
    print("before", flush=True)
    with without_our_outputs():
        subprocess.run(["sh", "-c", "echo out; echo err >&2"], check=True)
    print("after", flush=True)
    os.write(2, b"error")
    assert capfd.readouterr() == ("before\nafter\n", "error")


def test_outputs_that_are_closed_stay_closed() -> None:
    script = (
        "import os, subprocess\n"
        "from gsnr_sweep.launcher.backends.base import without_our_outputs\n"
        "os.close(1)\n"
        "with without_our_outputs(): subprocess.run(['true'], check=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_workers_find_this_package_first_wherever_it_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    """An editable installation is on no path, and ``python -P`` leaves out launch.py's folder."""
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path not in ("", str(ROOT))])
    assert own_path()[0] == str(ROOT)
