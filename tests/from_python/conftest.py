"""One sweep that a script launched, and this process's state around calls."""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.singleton import Singleton

SETTINGS: dict[str, Any] = {
    **{"data": "toy", "model": "mlp", "n_sets": 2, "n_test": 50, "epochs": 2},
    "measure_at": "log:3",
}
# No `if __name__ == "__main__"`: what starts processes by importing the script again would loop.
SCRIPT = f"""
import gsnr_sweep
done = gsnr_sweep.sweep(n=[30, 40], **{SETTINGS!r})
print(done.folder)
"""


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Work in a folder as a user does whose environment names no store."""
    before, given = Path.cwd(), {}
    for name in ("MLFLOW_TRACKING_URI", "PYTHONPATH"):
        if name in os.environ:
            given[name] = os.environ.pop(name)
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
        os.environ.update(given)


@pytest.fixture(scope="package")
def launched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folder in which a script launched a sweep of two runs, and the sweep's folder."""
    folder = tmp_path_factory.mktemp("script")
    (folder / "script.py").write_text(SCRIPT)
    with working_in(folder):
        done = subprocess.run(
            [sys.executable, "script.py"], capture_output=True, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = done.stdout.splitlines()  # nothing was printed but by the script
    return folder, Path(line)


@pytest.fixture
def here(launched: tuple[Path, Path]) -> Iterator[Path]:
    """Work where the script did."""
    with working_in(launched[0]):
        yield launched[0]


def process_state() -> dict[str, object]:
    """Everything of this process that a launch on the command line changes."""
    root = logging.getLogger()
    return {
        "cwd": Path.cwd(),
        "argv": list(sys.argv),
        "path": list(sys.path),
        "environment": dict(os.environ),
        "signals": [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)],
        "logging": (root.level, list(root.handlers), logging.raiseExceptions),
        "streams": (sys.stdout, sys.stderr),
        "hydra": (GlobalHydra.instance().is_initialized(), set(Singleton.get_state()["instances"])),
    }
