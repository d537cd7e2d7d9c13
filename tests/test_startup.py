"""Loading modules without searching for garbage all the time."""

import gc
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from gsnr_sweep._startup import load_torch_library, loading_quickly
from tests.conftest import ROOT, TINY

LISTENER = """
import gc, runpy, sys

usual = gc.get_threshold()

class Listener:
    def find_spec(self, name, path=None, target=None):
        if name in {"hydra", "torch", "mlflow"}:
            print("LOADS", name, "quickly" if gc.get_threshold() > usual else "slowly")

sys.meta_path.insert(0, Listener())
"""
LAUNCH = f"""
sys.argv = ["launch.py", *sys.argv[1:]]
runpy.run_path({str(ROOT / "launch.py")!r}, run_name="__main__")
"""
STORE = """
from gsnr_sweep.tracking.store import open_store
open_store(f"sqlite:///{sys.argv[1]}/mlflow.db", "tests")
"""


def _loads(script: str, folder: Path, *arguments: str) -> dict[str, str]:
    """How a script loads what takes long."""
    command = [sys.executable, "-c", LISTENER + script, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("LOADS")]
    return {name: how for _, name, how in lines}


def test_garbage_is_looked_for_rarely_and_then_as_before() -> None:
    before = gc.get_threshold()
    with loading_quickly():
        assert gc.isenabled()
        assert gc.get_threshold() > before
        with loading_quickly():
            pass
        assert gc.get_threshold() > before
    assert gc.get_threshold() == before
    with pytest.raises(ImportError), loading_quickly():
        raise ImportError
    assert gc.get_threshold() == before


def test_a_launch_loads_quickly(folder: Path) -> None:
    loaded = _loads(LAUNCH, folder, *TINY, "data=toy", "model=mlp", "dry_run=true")
    assert loaded == {"hydra": "quickly", "torch": "quickly"}


def test_a_store_is_opened_quickly(store: object, folder: Path) -> None:
    assert _loads(STORE, folder, str(folder))["mlflow"] == "quickly"


def test_pytorchs_library_is_loaded_beside_other_work() -> None:
    program = """
import sys
from gsnr_sweep._startup import load_torch_library
load_torch_library().join()
maps = open("/proc/self/maps").read()
print("libtorch_cpu" in maps, "torch" in sys.modules)
import torch
print(float(torch.ones(2).sum()))
"""
    if sys.platform != "linux":
        pytest.skip("the loaded libraries are read from Linux's /proc")
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout.split() == ["True", "False", "2.0"], done.stderr


def test_a_missing_library_is_left_to_the_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    load_torch_library().join()
