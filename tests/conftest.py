"""What the tests share: typed configs, an empty MLflow store, real data, the command line."""

import io
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd
import pytest
import torch
from hypothesis import settings
from mlflow import MlflowClient

from gsnr_sweep.cli.launch import main
from gsnr_sweep.config.compose import Composer
from gsnr_sweep.config.grid import CommandLine, Grid, composer_of, expand
from gsnr_sweep.config.schema import Config

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf"
TINY = ("n=30", "n_sets=2", "n_test=50", "epochs=2", "measure_at=[0,2]")

# The same examples in every run, and no file that keeps them.
settings.register_profile("stable", derandomize=True, deadline=None, database=None)
settings.load_profile("stable")

# Whoever starts the tests in the background of a script has them ignore Ctrl-C, which some press.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

MakeConfig = Callable[..., Config]


def tiny_config(*overrides: str) -> Config:
    """The typed config of a very small run, composed from ``conf/`` as the command line does."""
    return typed_config(*TINY, *overrides)


def typed_config(*overrides: str) -> Config:
    """The typed config of one run, equal to that of its command line."""
    point = shared_composer().point(overrides)
    assert point.cfg is not None, point.problem
    return point.cfg


def expanded(*arguments: str) -> Grid:
    """What a command line asks for; it names no folder of configs but ``conf/``."""
    return expand(CommandLine.parse(arguments, CONF), shared_composer())


@lru_cache
def shared_composer() -> Composer:
    """The session's composer: a point of its own takes Hydra a fifth of a second."""
    return composer_of(CommandLine.parse((), CONF))


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Compute as runs do: one thread for each operation."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def same_weights() -> None:
    """Draw the same initial weights in every run of the tests; PyTorch starts anywhere."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def same_environment() -> Iterator[None]:
    """Put back what a command tells its process, and those that it starts."""
    with mock.patch.dict(os.environ):
        yield


@pytest.fixture(autouse=True)
def same_signals() -> Iterator[None]:
    """Put back what a command does at a signal: its Ctrl-C would end the process of other tests."""
    handled = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in handled}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def make_config() -> MakeConfig:
    return tiny_config


@pytest.fixture(scope="session")
def migrated_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty SQLite store whose schema is in place; making one takes seconds."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, and nothing in the environment that points elsewhere."""
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "GSNR_DATA_ROOT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def store(migrated_store: Path, folder: Path) -> MlflowClient:
    """The folder's own store, empty but for its schema."""
    shutil.copy(migrated_store, folder / "mlflow.db")
    return MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real MNIST files (and of ``cifar10_subset.npz``, if it is there)."""
    root = os.environ.get("GSNR_DATA_ROOT")
    if not root:
        pytest.skip("GSNR_DATA_ROOT is not set: no folder with real data to test on")
    if not (Path(root) / "MNIST" / "raw" / "train-images-idx3-ubyte").is_file():
        pytest.skip(f"there is no MNIST in GSNR_DATA_ROOT={root}")
    return Path(root)


def read_csv(path: Path, **options: Any) -> pd.DataFrame:
    """Read a table with each number as it was written, bit for bit."""
    if pd.__version__.startswith("2."):  # later ones do so by themselves
        options["float_precision"] = "round_trip"
    return pd.read_csv(path, **options)


@dataclass(frozen=True)
class Launched:
    """How a command ended.

    Attributes:
        code: Exit code.
        out: What it printed.
        err: What it complained about.
        folder: Where it was started.
    """

    code: int
    out: str
    err: str
    folder: Path


_NOT_INHERITED = {"MLFLOW_TRACKING_URI", "GSNR_DATA_ROOT", "PYTHONPATH", "COLUMNS"}


def launch(folder: Path, *arguments: str, **environment: str) -> Launched:
    """Run ``python launch.py`` in `folder` as a user does, output not a terminal."""
    inherited = {key: value for key, value in os.environ.items() if key not in _NOT_INHERITED}
    done = subprocess.run(
        [sys.executable, str(ROOT / "launch.py"), *arguments],
        cwd=folder,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        timeout=1800,  # long enough for a machine that is busy with other things
        check=False,
    )
    return Launched(done.returncode, done.stdout, done.stderr, folder)


def launch_here(folder: Path, *arguments: str) -> Launched:
    """Do the same in this process, which spares the seconds that importing the libraries takes.

    For launches of which numbers, files and words matter, not the process. Workers are processes of
    their own here too. An environment of its own needs `launch`: libraries keep what they read.
    """
    out, err = io.StringIO(), io.StringIO()
    with _as_it_was(folder), redirect_stdout(out), redirect_stderr(err):
        os.chdir(folder)
        for name in _NOT_INHERITED & os.environ.keys():
            del os.environ[name]
        sys.argv = [str(ROOT / "launch.py"), *arguments]
        try:
            main(CONF)
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
            if isinstance(ended.code, str):
                print(ended.code, file=sys.stderr)
    return Launched(code, out.getvalue(), err.getvalue(), folder)


@contextmanager
def _as_it_was(folder: Path) -> Iterator[None]:
    """Put back what a launch changes in its process; forget modules that lie in `folder`."""
    root, here = logging.getLogger(), Path.cwd()
    handlers, level, raises = list(root.handlers), root.level, logging.raiseExceptions
    argv, path = sys.argv, list(sys.path)
    with mock.patch.dict(os.environ):
        try:
            yield
        finally:
            os.chdir(here)
            sys.argv, sys.path[:] = argv, path
            root.handlers[:], logging.raiseExceptions = handlers, raises
            root.setLevel(level)
            for name, module in list(sys.modules.items()):
                if folder in Path(getattr(module, "__file__", None) or "/").parents:
                    del sys.modules[name]
