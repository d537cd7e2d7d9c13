import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.slow


def _benchmarks(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )


def test_quick_form_times_and_writes(tmp_path):
    done = _benchmarks("--quick", "--only", "step", "--output", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    (workload,) = json.loads((tmp_path / "step.json").read_text())["facts"]["workloads"]
    compared = {name for name, one in workload["contenders"].items() if one["seconds"]}
    assert compared == {"gsnr-sweep", "plain loop", "torch.func vmap", "JAX"}
    assert "| gsnr-sweep |" in (tmp_path / "performance.md").read_text()


def test_unknown_section_is_refused():
    done = _benchmarks("--only", "stepp")
    assert done.returncode == 2
    assert "there is no section stepp" in done.stderr
