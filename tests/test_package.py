"""What the package exports: by name, lazily, and with types."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import gsnr_sweep
from tests.conftest import ROOT

SCRIPT = """
import gsnr_sweep
from gsnr_sweep import GsnrError, RunRecord, Sweep

record: RunRecord = gsnr_sweep.run("n=30", data="toy")
done: Sweep = gsnr_sweep.sweep(n=[30, 40], progress=True)
reveal_type(gsnr_sweep.load("folder"))
reveal_type(done.report())
try:
    done.figure().savefig("figure.png")
except GsnrError as error:
    print(error)
"""


@pytest.mark.parametrize("name", gsnr_sweep._EXPORTS)
def test_every_export_is_there(name: str) -> None:
    module = importlib.import_module(gsnr_sweep._EXPORTS[name])
    assert getattr(gsnr_sweep, name) is getattr(module, name)
    assert name in dir(gsnr_sweep)


def test_an_unknown_name() -> None:
    with pytest.raises(AttributeError, match="module 'gsnr_sweep' has no attribute 'nix'"):
        _ = gsnr_sweep.nix


@pytest.mark.slow
def test_a_users_script_is_typed(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy, which checks types, is not installed")
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "script.py"]
    command += ["--follow-imports=silent", "--cache-dir", str(tmp_path / "cache")]
    environment = {**os.environ, "MYPYPATH": str(ROOT)}  # mypy sees no editable installation
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    told = [line for line in done.stdout.splitlines() if line.startswith("script.py")]
    assert [line.partition(": note: ")[2] for line in told] == [
        'Revealed type is "gsnr_sweep.records.record.RunRecord | '
        'gsnr_sweep.from_python.results.Sweep"',
        'Revealed type is "pathlib.Path"',
    ], done.stdout
