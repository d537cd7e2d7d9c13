"""The API from outside: what it loads, its examples, its types, its bar."""

import doctest
import importlib
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from gsnr_sweep import gradient_statistics
from gsnr_sweep.api import progress
from tests.conftest import ROOT

SCRIPT = """
import sys
import gsnr_sweep
print("torch" in sys.modules)
import torch
from gsnr_sweep import gradient_statistics, osgr
model, data = torch.nn.Linear(3, 2), (torch.randn(20, 3), torch.arange(20) % 2)
gradient_statistics(model, data)
osgr(model, [data, data], data)
heavy = {"hydra", "omegaconf", "mlflow", "submitit", "sqlalchemy", "matplotlib", "rich", "pandas"}
print(sorted(heavy & sys.modules.keys()))
print(sorted(m for m in sys.modules if m.startswith(("gsnr_sweep.config", "gsnr_sweep.runs"))))
"""
USER = """
import torch
from gsnr_sweep import GradientStatistics, GSNRTracker, OneStepRatio, gradient_statistics, osgr
from torch.utils.data import DataLoader, TensorDataset

model = torch.nn.Linear(3, 2)
x, y = torch.randn(20, 3), torch.arange(20) % 2
loader = DataLoader(TensorDataset(x, y), batch_size=4)
stats: GradientStatistics = gradient_statistics(model, (x, y), torch.nn.CrossEntropyLoss())
stats = gradient_statistics(model, loader, torch.nn.functional.cross_entropy, dtype=torch.float64)
stats = gradient_statistics(model, TensorDataset(x, y), batch_size=5, device="cpu")
gsnr: torch.Tensor = stats.gsnr["weight"]
means: list[float] = stats.by_layer()["gsnr_mean"].tolist()
rows: int = len(stats.to_dataframe())
right: float = stats.osgr()
both: OneStepRatio = osgr([model, model], [(x, y), loader], TensorDataset(x, y), lr=1e-3)
left: float = both.lhs
tracker = GSNRTracker(model, loader, every=3, progress=False)
maybe: GradientStatistics | None = tracker.step()
"""


def test_nothing_of_a_sweep_is_loaded(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == ["False", "[]", "[]"], done.stderr


@pytest.mark.parametrize("module", ["functions", "statistics", "tracker"])
def test_examples_are_right(module: str) -> None:
    found = doctest.testmod(importlib.import_module(f"gsnr_sweep.api.{module}"))
    assert found.attempted
    assert not found.failed


def test_the_page_and_readme_are_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for what launches a whole sweep, which `tests/from_python` does with a smaller one."""
    monkeypatch.chdir(tmp_path)
    for page in ("docs/python.md", "README.md"):
        blocks = (ROOT / page).read_text().split("```python\n")[1:]
        known: dict[str, object] = {}
        codes = [block.split("```")[0] for block in blocks]
        for code in (code for code in codes if not re.search(r"lightning|gsnr_sweep\.sweep", code)):
            exec(compile(code, page, "exec"), known)
        assert known


@pytest.mark.slow
def test_a_strictly_typed_script_is_accepted(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is not installed")
    script = tmp_path / "mine.py"
    script.write_text(USER)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache")]
    command += ["--follow-imports=silent", str(script)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    subprocess.run([sys.executable, str(script)], cwd=tmp_path, check=True)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("wanted", "terminal"), [(None, True), (None, False), (False, True)])
def test_a_bar_is_shown_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, wanted: bool | None, terminal: bool
) -> None:
    monkeypatch.setattr(progress, "_PATIENCE", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    errors = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", errors)
    data = torch.randn(40, 3), torch.arange(40) % 2
    gradient_statistics(nn.Linear(3, 2), data, batch_size=4, progress=wanted)
    assert ("data: gradients" in errors.getvalue()) is (terminal and wanted is not False)
